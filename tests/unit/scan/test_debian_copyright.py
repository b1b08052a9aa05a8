# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from goldsmith.scan import debian_copyright

DEP5 = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ("License: GPL-2+\n", ("GPL-2.0-or-later",)),
        ("License: LGPL-2.1\n text\n", ("LGPL-2.1-only",)),
        ("License: GPL-3.0+\n", ("GPL-3.0-or-later",)),
        ("License: Expat\nLicense: Expat\n", ("MIT",)),
        ("License: GPL-1+ or Artistic\n", ("Artistic", "GPL-1.0-or-later")),
        ("License: GPL-2+ or MIT, and BSD-3-clause\n", ("BSD-3-clause", "GPL-2.0-or-later", "MIT")),
        ("License: GPL-3+ with Bison exception\n", ("GPL-3.0-or-later WITH Bison exception",)),
        ("License:\n text without a name\n", ()),
        ("license: ISC\n", ("ISC",)),
        ("Comment: see License: none\n", ()),
        ("License: GPL-2.5+\n", ("GPL-2.5+",)),
    ],
)
def test_the_fields_of_a_machine_readable_file_name_its_licences(fields: str, found: tuple[str, ...]) -> None:
    assert debian_copyright.licenses(DEP5 + fields) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("can be found in `/usr/share/common-licenses/GPL-2'.", ("GPL-2",)),
        ("see /usr/share/common-licenses/Apache-2.0.\nand /usr/share/common-licenses/LGPL\n",
         ("Apache-2.0", "LGPL")),
        ("Permission is hereby granted\nLicense: mine\n", ()),
        ("", ()),
    ],
)  # fmt: skip
def test_any_other_file_names_common_licences(text: str, found: tuple[str, ...]) -> None:
    assert debian_copyright.licenses(text) == found
