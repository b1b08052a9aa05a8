# SPDX-License-Identifier: Apache-2.0
"""How names and values look that hold secrets."""

from __future__ import annotations

import re

WORDS = r"PASSW|TOKEN|SECRET|CREDENTIAL|PRIVATE_?KEY|API_?KEY"
WORD = re.compile(WORDS, re.IGNORECASE)
# Names that may hold secrets, or else something whose value nobody misses in a list.
LIKELY = r"PASS|PWD|(?:\b|_)PW(?:\b|_|\d)|KEY|DSN|AUTH|TOKEN|SECRET|CRED|PRIVATE|COOKIE|BEARER|JWT"
LOGIN_IN_URL = re.compile(r"://[^/\s@:]*:[^/\s@]+@")
