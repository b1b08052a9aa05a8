# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest

from goldsmith.core import documents
from goldsmith.core.documents import Document
from goldsmith.devcloud.answers import CloudDown, CloudStatus
from goldsmith.devcloud.lifecycle import Cloud

UP = Cloud(name="mine", clouds_yaml=Path("/c/clouds.yaml"), ports={"image": 20001}, seconds=19.5).answer()


@pytest.mark.parametrize(
    ("answer", "keys"),
    [
        (UP, {"name", "clouds_yaml", "ports", "seconds"}),
        (CloudDown(name="mine", removed=("removed /c",)), {"name", "removed"}),
        (CloudStatus(name="mine", running=False, services={}), {"name", "running", "services"}),
        (
            CloudStatus(name="mine", running=True, services={"glance": True}, clouds_yaml="/c", ports={}),
            {"name", "running", "services", "clouds_yaml", "ports"},
        ),
    ],
)
def test_answers_have_these_keys(answer: Document, keys: set[str]) -> None:
    data = answer.as_dict()

    assert set(data) == {"schema", "version", *keys}
    jsonschema.validate(data, documents.json_schema(type(answer)))
