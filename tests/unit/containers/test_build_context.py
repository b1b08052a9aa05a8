# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from goldsmith.containers import build_context
from goldsmith.errors import BuildError
from goldsmith.spec.model import ContainerSpec


def context(root: Path, name: str, dockerfile: str) -> None:
    (root / name).mkdir(parents=True)
    (root / name / "Dockerfile").write_text(dockerfile)


def collect(root: Path, **builds: str) -> dict[str, build_context.Context]:
    specs = [ContainerSpec(ref=f"a.test/{name}:1", build=folder) for name, folder in builds.items()]
    return {context.ref: context for context in build_context.collect(specs, (root,))}


def test_parents_come_before_their_children(tmp_path: Path) -> None:
    context(tmp_path, "app", "FROM a.test/lib:1\n")
    context(tmp_path, "lib", "FROM goldsmith.local/base:13\n")
    (tmp_path / "containers/base").mkdir(parents=True)
    (tmp_path / "containers/base/rootfs.yaml").write_text("suite: trixie\n")
    found = collect(tmp_path, app="app", lib="lib")
    assert list(found) == ["goldsmith.local/base:13", "a.test/lib:1", "a.test/app:1"]
    assert found["goldsmith.local/base:13"].rootfs


def test_stages_are_not_images_and_copied_from_images_are(tmp_path: Path) -> None:
    context(
        tmp_path, "app",
        "ARG TAG=2\n# FROM comment\nFROM --platform=linux/amd64 x.test/one:${TAG} AS Build\n"
        "FROM build AS second\nFROM scratch\nCOPY --from=build \\\n  /a /b\nCOPY --from=0 /c /d\n"
        "COPY --chown=1:1 --from=y.test/two@sha256:00 /e /f\n",
    )  # fmt: skip
    assert collect(tmp_path, app="app")["a.test/app:1"].foreign == ("x.test/one:2", "y.test/two@sha256:00")


def test_an_image_after_a_byte_order_mark_is_one(tmp_path: Path) -> None:
    context(tmp_path, "app", "\ufeffFROM x.test/one:2\n")

    assert collect(tmp_path, app="app")["a.test/app:1"].foreign == ("x.test/one:2",)


def test_a_circle_is_named(tmp_path: Path) -> None:
    context(tmp_path, "a", "FROM a.test/b:1\n")
    context(tmp_path, "b", "FROM a.test/a:1\n")
    with pytest.raises(BuildError, match=r"a\.test/a:1 -> a\.test/b:1 -> a\.test/a:1"):
        collect(tmp_path, a="a", b="b")


def test_a_folder_without_a_dockerfile_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BuildError, match="has no Dockerfile"):
        collect(tmp_path, app="empty")


@pytest.mark.parametrize(
    ("image", "hint"),
    [
        ("goldsmith.local/bas:13", "did you mean 'goldsmith.local/base:13'?"),
        ("goldsmith.local/python", "add the folder, or use one of: base"),
    ],
)
def test_an_image_of_ours_that_has_no_folder_is_named_with_its_line(
    tmp_path: Path, image: str, hint: str
) -> None:
    context(tmp_path, "app", f"# mine\nFROM {image}\n")
    (tmp_path / "containers/base").mkdir(parents=True)
    (tmp_path / "containers/base/rootfs.yaml").write_text("suite: trixie\n")

    with pytest.raises(
        BuildError, match=rf"Dockerfile:2: there is no folder containers/\w+ for .* {image}"
    ) as e:
        collect(tmp_path, app="app")

    assert e.value.hint == hint


def test_the_digest_depends_on_content_and_x_bit_and_not_on_umask_or_time(tmp_path: Path) -> None:
    context(tmp_path, "one", "FROM scratch\n")
    before = build_context.digest(tmp_path / "one")
    (tmp_path / "one/Dockerfile").chmod(0o600)
    (tmp_path / "one/Dockerfile").touch()
    assert build_context.digest(tmp_path / "one") == before
    (tmp_path / "one/Dockerfile").chmod(0o755)
    changed = build_context.digest(tmp_path / "one")
    assert changed != before
    (tmp_path / "one/new").write_text("x")
    assert build_context.digest(tmp_path / "one") not in (before, changed)


def test_what_dockerignore_names_stays_out(tmp_path: Path) -> None:
    context(tmp_path, "one", "FROM scratch\n")
    (tmp_path / "one/.dockerignore").write_text("# logs\n*.log\n")
    (tmp_path / "one/a.log").write_text("x")
    (tmp_path / "one/sub").mkdir()
    (tmp_path / "one/sub/kept").symlink_to("../Dockerfile")
    sink = io.BytesIO()
    build_context.pack(tmp_path / "one", sink)
    sink.seek(0)
    with tarfile.open(fileobj=sink) as archive:
        assert archive.getnames() == [".dockerignore", "Dockerfile", "sub", "sub/kept"]


def test_the_location_of_an_image_is_the_line_that_names_it(tmp_path: Path) -> None:
    context(
        tmp_path,
        "app",
        "ARG TAG=2\nFROM debian:13 AS one\nFROM x.test/y:$TAG\nCOPY --from=z.test/z:1 /a /b\n",
    )

    path = tmp_path / "app/Dockerfile"
    assert build_context.location(tmp_path / "app", "debian:13") == f"{path}:2"
    assert build_context.location(tmp_path / "app", "z.test/z:1") == f"{path}:4"
    assert build_context.location(tmp_path / "app", "x.test/y:2") == str(path)


def test_an_image_from_a_second_root_can_be_a_parent(tmp_path: Path) -> None:
    (tmp_path / "mine/app").mkdir(parents=True)
    (tmp_path / "mine/app/Dockerfile").write_text("FROM goldsmith.local/base:1\n")
    (tmp_path / "shipped/containers/base").mkdir(parents=True)
    (tmp_path / "shipped/containers/base/rootfs.yaml").touch()
    spec = ContainerSpec(ref="a.test/app:1", build="app")

    found = build_context.collect([spec], (tmp_path / "mine", tmp_path / "shipped"))

    assert [context.folder for context in found] == [
        tmp_path / "shipped/containers/base", tmp_path / "mine/app",
    ]  # fmt: skip
