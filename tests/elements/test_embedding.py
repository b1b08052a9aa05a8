# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from goldsmith.core.paths import project_root

ELEMENT = project_root() / "elements/heat-config-kubelet"
LOCK = {
    "images": [
        {"ref": "a.b/app:1", "names": ["a.b/app:1", "a.b/app@sha256:11"], "digest": "sha256:11",
         "config_digest": "sha256:c1", "into": "containerd"},
        {"ref": "a.b/tool:1", "names": ["a.b/tool:1"], "digest": "sha256:22", "config_digest": "sha256:c2",
         "into": "docker"},
    ]
}  # fmt: skip
MANAGED = "io.cri-containerd.image=managed"
STORED = "\n".join(
    f"{name} application/vnd.oci.image.manifest.v1+json {digest} 1.0 MiB linux/amd64 {MANAGED}"
    for name, digest in (
        ("REF", "DIGEST"), ("a.b/app:1", "sha256:11"), ("a.b/app@sha256:11", "sha256:11"),
        ("a.b/tool:1", "sha256:22"), ("sha256:c2", "sha256:22"),
    )
)  # fmt: skip


def run(*argv: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Ended after a time in which nothing that works is still running."""
    words = [os.fspath(word) for word in argv]
    return subprocess.run(
        words,
        env={**os.environ, "DIB_EMBED_LATER": "0", "DIB_HEAT_HOOKS": "", "DIB_HEAT_POD_SCHEMA": "", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.fixture
def importer(element: Callable[[str], Path], tmp_path: Path) -> Path:
    """import-images of a root with a lock."""
    lock = tmp_path / "root/usr/lib/goldsmith/images.lock.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps(LOCK))
    return element("heat-config-kubelet") / "embed-files/import-images"


def fake_ctr(fake: Callable[..., Path], tmp_path: Path, stored: str = STORED, more: str = "") -> Path:
    """A containerd whose namespaces are empty until a bundle with what is in stored is imported."""
    (tmp_path / "stored").write_text(stored)
    script = f"""case "$*" in
        *import*) cp '{tmp_path}/stored' '{tmp_path}/stored.'"$2" ;;
        *list) cat '{tmp_path}/stored.'"$2" 2> /dev/null || echo REF ;;
        {more}
    esac"""
    return fake("ctr", script)


def test_images_are_imported_and_each_name_is_pinned(
    importer: Path, fake: Callable[..., Path], tmp_path: Path
) -> None:
    calls = fake_ctr(fake, tmp_path)

    done = run(sys.executable, importer, "--no-unpack", "/bundle.tar")

    assert done.returncode == 0, done.stderr
    assert re.sub(r"import-\d+$", "import-N", calls.read_text(), flags=re.MULTILINE).splitlines() == [
        "version",
        "--namespace k8s.io images import --no-unpack /bundle.tar",
        "--namespace k8s.io images list",
        "--namespace k8s.io images list",
        "--namespace k8s.io images remove --sync a.b/tool:1 sha256:c2",
        "--namespace k8s.io images label a.b/app:1 io.cri-containerd.pinned=pinned",
        "--namespace k8s.io images label a.b/app@sha256:11 io.cri-containerd.pinned=pinned",
        "--namespace k8s.io leases create --id goldsmith-import-N",
        "--namespace k8s.io leases delete --sync goldsmith-import-N",
        "--namespace moby images import --no-unpack /bundle.tar",
        "--namespace moby images list",
        "--namespace moby images remove --sync a.b/app:1 a.b/app@sha256:11",
        "--namespace moby images label a.b/tool:1 io.cri-containerd.pinned=pinned",
        "--namespace moby leases create --id goldsmith-import-N",
        "--namespace moby leases delete --sync goldsmith-import-N",
    ]


def test_an_image_that_was_there_before_stays(
    importer: Path, fake: Callable[..., Path], tmp_path: Path
) -> None:
    calls = fake_ctr(fake, tmp_path, f"{STORED}\na.b/mine:1 TYPE sha256:33")
    (tmp_path / "stored.k8s.io").write_text("REF\na.b/mine:1 TYPE sha256:33\n")

    done = run(sys.executable, importer, "/bundle.tar")

    assert done.returncode == 0, done.stderr
    assert "k8s.io images remove --sync a.b/tool:1 sha256:c2\n" in calls.read_text()


def test_nothing_is_removed_before_containerd_has_taken_note_of_the_images(
    importer: Path, fake: Callable[..., Path], tmp_path: Path
) -> None:
    """What is removed while its CRI looks at it would come back."""
    (tmp_path / "stored.late").write_text(STORED)
    late = f"""
        'version') ;;
        *k8s.io*'images list')
            echo x >> '{tmp_path}/looks'
            [ "$(wc -l < '{tmp_path}/looks')" -lt 3 ] && sed 's/{MANAGED}/-/' '{tmp_path}/stored.late' ||
                cat '{tmp_path}/stored.late' ;;"""
    calls = fake("ctr", f'case "$*" in {late} *list) cat "{tmp_path}/stored.late" ;; esac')

    done = run(sys.executable, importer, "/bundle.tar")

    assert done.returncode == 0, done.stderr
    lines = calls.read_text().splitlines()
    assert (
        lines.index("--namespace k8s.io images remove --sync a.b/tool:1 sha256:c2")
        > [at for at, line in enumerate(lines) if line == "--namespace k8s.io images list"][2]
    )


def test_where_no_image_is_for_docker_its_namespace_is_left_alone(
    importer: Path, fake: Callable[..., Path], tmp_path: Path
) -> None:
    lock = tmp_path / "root/usr/lib/goldsmith/images.lock.json"
    lock.write_text(json.dumps({"images": LOCK["images"][:1]}))
    calls = fake_ctr(fake, tmp_path, "\n".join(STORED.splitlines()[:3]))

    done = run(sys.executable, importer, "/bundle.tar")

    assert done.returncode == 0, done.stderr
    assert "moby" not in calls.read_text()
    assert "remove --sync a.b" not in calls.read_text()


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        (STORED.replace("sha256:11 1.0", "sha256:99 1.0"), "a.b/app:1 is sha256:99, must be sha256:11"),
        (STORED.splitlines()[0], "a.b/app:1 is None, must be sha256:11"),
    ],
)
def test_another_image_than_the_locked_one_is_an_error(
    importer: Path, fake: Callable[..., Path], tmp_path: Path, stored: str, said: str
) -> None:
    calls = fake_ctr(fake, tmp_path, stored)

    done = run(sys.executable, importer, "/bundle.tar")

    assert done.returncode == 1
    assert said in done.stderr
    assert "label" not in calls.read_text()


def test_containerd_is_waited_for(importer: Path, fake: Callable[..., Path], tmp_path: Path) -> None:
    slow = f"version) [ -e '{tmp_path}/up' ] || {{ touch '{tmp_path}/up'; exit 1; }} ;;"
    calls = fake_ctr(fake, tmp_path, more=slow)

    assert run(sys.executable, importer, "/bundle.tar").returncode == 0
    assert calls.read_text().splitlines()[:2] == ["version", "version"]


def test_a_containerd_that_never_answers_is_given_up(importer: Path, fake: Callable[..., Path]) -> None:
    importer.write_text(importer.read_text().replace("DEADLINE_S = 120", "DEADLINE_S = 0"))
    fake("ctr", "exit 1")

    done = run(sys.executable, importer, "/bundle.tar")

    assert done.returncode == 1
    assert "containerd does not answer" in done.stderr


def test_a_failed_import_is_a_failure(importer: Path, fake: Callable[..., Path]) -> None:
    fake("ctr", 'case "$*" in *import*) exit 1 ;; esac')

    assert run(sys.executable, importer, "/bundle.tar").returncode != 0


@pytest.mark.parametrize("missing", ["DIB_EMBED_BUNDLE", "DIB_EMBED_LOCK"])
def test_a_bundle_is_taken_along_with_its_lock_or_not_at_all(tmp_path: Path, missing: str) -> None:
    hook = ELEMENT / "extra-data.d/60-heat-config-kubelet"
    env = {"TMP_HOOKS_PATH": str(tmp_path / "hooks")}
    for name in ("DIB_EMBED_BUNDLE", "DIB_EMBED_LOCK"):
        env[name] = str(tmp_path / name)
        (tmp_path / name).write_text(name)

    taken = run("bash", hook, **env)
    (tmp_path / missing).write_text("")
    refused = run("bash", hook, **env)

    assert taken.returncode == 0, taken.stderr
    assert (tmp_path / "hooks/embed/bundle.tar").read_text() == "DIB_EMBED_BUNDLE"
    assert refused.returncode == 1
    assert f"{missing} must name a file" in refused.stderr


def test_a_root_without_its_containers_takes_nothing_along(
    tmp_path: Path, element: Callable[[str], Path]
) -> None:
    """goldsmith.layers embeds them later."""
    taken = run("bash", ELEMENT / "extra-data.d/60-heat-config-kubelet", DIB_EMBED_LATER="1")
    folder = element("heat-config-kubelet")
    embedded = run("bash", folder / "post-install.d/60-heat-config-kubelet", DIB_EMBED_LATER="1")

    assert (taken.returncode, embedded.returncode) == (0, 0), (taken.stderr, embedded.stderr)
    assert not (tmp_path / "root/usr/lib/goldsmith").exists()


@pytest.fixture
def hook(element: Callable[[str], Path], fake: Callable[..., Path], tmp_path: Path) -> Path:
    """The hook with a bundle at hand, in a root where containerd is a fake."""
    folder = element("heat-config-kubelet")
    (folder / "embed").mkdir()
    (folder / "embed/bundle.tar").write_text("bundle")
    (folder / "embed/images.lock.json").write_text(json.dumps(LOCK))
    fake("systemctl")
    fake("python3", f'exec "{sys.executable}" -B "$@"')  # of import-images, by its first line
    fake("containerd", f"echo $$ > '{tmp_path}/containerd.pid'; exec sleep 60")
    return folder / "post-install.d/60-heat-config-kubelet"


def embed(hook: Path, strategy: str) -> subprocess.CompletedProcess[str]:
    return run("bash", hook, DIB_EMBED_STRATEGY=strategy)


@pytest.mark.parametrize(("strategy", "option"), [("content-store", "--no-unpack "), ("unpacked", "")])
def test_images_are_imported_during_the_build_and_containerd_is_stopped(
    hook: Path, fake: Callable[..., Path], tmp_path: Path, strategy: str, option: str
) -> None:
    calls = fake_ctr(fake, tmp_path)

    done = embed(hook, strategy)

    root = tmp_path / "root"
    assert done.returncode == 0, done.stderr
    assert f"images import {option}{hook.parent}/../embed/bundle.tar" in calls.read_text()
    assert json.loads((root / "usr/lib/goldsmith/images.lock.json").read_text()) == LOCK
    assert not (root / "run/containerd").exists()
    assert not (root / "var/lib/goldsmith").exists()
    assert not Path("/proc", (tmp_path / "containerd.pid").read_text().strip()).exists()


def test_containerd_is_stopped_also_after_a_failure(
    hook: Path, fake: Callable[..., Path], tmp_path: Path
) -> None:
    fake_ctr(fake, tmp_path, "REF TYPE DIGEST")

    done = embed(hook, "content-store")

    assert done.returncode != 0
    assert not (tmp_path / "root/run/containerd").exists()
    assert not Path("/proc", (tmp_path / "containerd.pid").read_text().strip()).exists()


def test_an_archive_is_imported_by_a_unit_on_first_boot(hook: Path, tmp_path: Path) -> None:
    done = embed(hook, "archive")

    root = tmp_path / "root"
    assert done.returncode == 0, done.stderr
    assert (root / "var/lib/goldsmith/bundle.tar").read_text() == "bundle"
    assert os.access(root / "usr/lib/goldsmith/import-images", os.X_OK)
    assert (tmp_path / "systemctl.calls").read_text() == "enable goldsmith-import.service\n"
    assert not (tmp_path / "containerd.pid").exists()


def test_the_unit_imports_once_and_before_the_kubelet_starts() -> None:
    unit = (ELEMENT / "embed-files/goldsmith-import.service").read_text().splitlines()

    assert "ConditionPathExists=!/var/lib/goldsmith/imported" in unit
    assert "ExecStartPost=/usr/bin/touch /var/lib/goldsmith/imported" in unit
    assert "Before=kubelet.service docker.service" in unit


def test_an_unknown_strategy_is_refused(hook: Path) -> None:
    done = embed(hook, "contents")

    assert done.returncode == 1
    assert "unknown DIB_EMBED_STRATEGY 'contents'" in done.stderr
