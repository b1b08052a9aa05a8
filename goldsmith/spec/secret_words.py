# SPDX-License-Identifier: Apache-2.0
"""How names and values look that hold secrets."""

from __future__ import annotations

import re

WORDS = r"PASSW|TOKEN|SECRET|CREDENTIAL|PRIVATE_?KEY|API_?KEY"
WORD = re.compile(WORDS, re.IGNORECASE)
LOGIN_IN_URL = re.compile(r"://[^/\s@:]*:[^/\s@]+@")
