# SPDX-License-Identifier: Apache-2.0
"""Image signatures of all forms so far are read: a kept file."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from goldsmith.core import documents
from goldsmith.provenance import glance_signature
from goldsmith.provenance.glance_signature import ImageSignatures

KEPT = Path(__file__).parent / "documents/release-all" / glance_signature.FILE


def test_kept_image_signatures_are_read_and_written_as_they_were(tmp_path: Path) -> None:
    signatures = ImageSignatures.read(KEPT)
    glance_signature.keep(tmp_path, signatures)

    ((sha256, signature),) = signatures.images.items()
    assert glance_signature.kept(KEPT.parent, sha256) == signature.as_properties()
    assert (tmp_path / KEPT.name).read_bytes() == KEPT.read_bytes()
    jsonschema.validate(json.loads(KEPT.read_text()), documents.json_schema(ImageSignatures))
