# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest

from goldsmith.cli import published_schemas
from goldsmith.errors import SpecError


@pytest.mark.parametrize("name", ["manifest", "goldsmith.manifest"])
def test_a_schema_is_found_by_the_name_of_its_document(name: str) -> None:
    assert json.loads(published_schemas.text(name))["title"] == "goldsmith.manifest"


def test_without_a_name_all_are_listed() -> None:
    listed = published_schemas.text("").split()

    assert {"image-spec", "manifest", "verdict"} <= set(listed)
    assert listed == sorted(listed)


def test_a_typing_error_is_told_with_what_was_meant() -> None:
    with pytest.raises(SpecError, match="no document is called 'manifst'") as e:
        published_schemas.text("manifst")

    assert e.value.hint == "did you mean 'manifest'?"


def test_a_name_of_nothing_is_told_with_where_the_names_are() -> None:
    with pytest.raises(SpecError) as e:
        published_schemas.text("zzz")

    assert e.value.hint == "list them: scripts/inv schema"
