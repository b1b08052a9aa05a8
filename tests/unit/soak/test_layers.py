# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from goldsmith.core import paths
from tests.soak import layers


def test_what_the_trials_wait_for_is_what_the_image_stage_says() -> None:
    code = "".join(
        (paths.project_root() / "goldsmith" / name).read_text()
        for name in ("build/image_stage.py", "core/cache.py", "layers/assembly.py", "verify/session.py")
    )
    said = (layers._MADE, layers._REUSED, layers._EMBEDDING)

    assert all(text.removesuffix(" ...") in code for text in said)
    assert f'_wait_for("{layers._BUILT.removesuffix(" ...")}"' in code
    assert layers._WAITING.removesuffix(" root") in code
    assert len({name for name, _ in layers.MISHAPS}) == len(layers.MISHAPS)
