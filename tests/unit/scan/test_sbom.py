# SPDX-License-Identifier: Apache-2.0
"""Contents of an offline image, and its bill of materials."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from goldsmith.containers import oci
from goldsmith.errors import ProvenanceError
from goldsmith.scan import contents, go_buildinfo, sbom
from goldsmith.scan.go_buildinfo import GoModule
from goldsmith.scan.package_databases import Package
from tests.support.go_program import H1, go_program

STATUS = """Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2-1

Package: libc6
Status: hold ok installed
Architecture: amd64
Source: glibc (2.41-12)
Version: 2.41-12+b1

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
"""
LIBC = Package(family="deb", name="libc6", version="2.41-12+b1", arch="amd64", source="glibc 2.41-12")
BASH = Package(family="deb", name="bash", version="5.2-1", arch="amd64")
ZLIB = Package(family="deb", name="zlib1g", version="1.3", arch="amd64", source="zlib 1.3")
COPYRIGHT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\nLicense: GPL-2+\n"
ZLIB_STATUS = "Package: zlib1g\nArchitecture: amd64\nSource: zlib\nVersion: 1.3\n"
APK = (
    "C:Q1abc=\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\nm:me <me@a.test>\nL:MIT\n"
    "D:!uclibc busybox>=1 so:libz.so.1\np:so:libc.musl-x86_64.so.1=1\n"
)
RPMS = (  # the tags of each, a list's items behind each other
    ("bash", "5.3-1.fc44", "x86_64", "bash-5.3-1.fc44.src.rpm", "Fedora Project", "(none)",
     "GPL-3.0-or-later", "libc.so.6\x1f", "bash\x1f", "/usr/bin/a\nb\x1f/usr/bin/bash\x1f/usr/bin/sh\x1f"),
    ("grep", "1:3.12-2", "x86_64", "(none)", "(none)", "me <me@a.test>", "(none)",
     "/usr/bin/sh\x1f", "grep\x1f", ""),
    ("gpg-pubkey", "1-2", "(none)", "(none)", "(none)", "(none)", "pubkey", "", "", ""),
)  # fmt: skip

WriteImage = Callable[..., str]


def tar(files: Mapping[str, str], compression: str = "", links: Mapping[str, str] | None = None) -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for name, target in (links or {}).items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return gzip.compress(sink.getvalue()) if compression else sink.getvalue()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A sealed Debian."""
    root = tmp_path / "root"
    texts = {
        "var/lib/dpkg/status": STATUS,
        "etc/os-release": 'ID=debian\nVERSION_ID="13"\n',
        "usr/lib/goldsmith/build.json": json.dumps(
            {"name": "mine", "build_id": "20260102T030405Z-abc", "kubelet": {"version": "1.35.4"}}
        ),
    }
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.fixture
def store(root: Path) -> Path:
    folder = root / contents.STORE.lstrip("/")
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def write_image(store: Path) -> WriteImage:
    """Put an image of these layers in the store; its digest."""

    def put(data: bytes) -> str:
        digest = oci.sha256(data)
        (store / digest.partition(":")[2]).write_bytes(data)
        return digest

    def write(*layers: bytes) -> str:
        listed = [{"digest": put(layer), "size": len(layer)} for layer in layers]
        config = {"digest": put(b'{"os": "linux"}'), "size": 15}
        return put(json.dumps({"schemaVersion": 2, "config": config, "layers": listed}).encode())

    return write


def lock(root: Path, **refs: str) -> None:
    images = [{"digest": digest, "ref": ref} for ref, digest in refs.items()]
    (root / "usr/lib/goldsmith/images.lock.json").write_text(json.dumps({"images": images}))


def test_a_debian_has_what_dpkg_calls_installed(root: Path) -> None:
    assert contents.packages(root) == (BASH, LIBC)


def test_a_fedora_is_asked_by_rpm(tmp_path: Path, fake: Callable[..., Path]) -> None:
    (tmp_path / "usr/lib/sysimage/rpm").mkdir(parents=True)
    (tmp_path / "answer").write_text("".join("\x1d".join(row) + "\x1e" for row in RPMS))
    fake("rpm", f"cat '{tmp_path}/answer'")

    bash, grep = contents.packages(tmp_path)

    assert bash == Package(
        family="rpm", name="bash", version="5.3-1.fc44", arch="x86_64", source="bash-5.3-1.fc44.src.rpm",
        supplier="Fedora Project", licenses=("GPL-3.0-or-later",), requires=("libc.so.6",),
        provides=("/usr/bin/sh",),
    )  # fmt: skip
    assert (grep.version, grep.supplier, grep.requires) == ("1:3.12-2", "me <me@a.test>", ("/usr/bin/sh",))


def test_a_system_without_packages_has_none(tmp_path: Path) -> None:
    assert contents.packages(tmp_path) == ()
    assert contents.containers(tmp_path) == ()


@pytest.mark.parametrize("compression", ["", "gz"])
def test_an_image_has_the_packages_of_its_topmost_database(
    root: Path, write_image: WriteImage, compression: str
) -> None:
    digest = write_image(
        tar({"./var/lib/dpkg/status": STATUS}, compression),
        tar({"var/lib/dpkg/status": STATUS + "\n" + ZLIB_STATUS}, compression),
    )

    (image,) = contents.containers(root)

    assert (image.digest, image.unread, len(image.layers)) == (digest, "", 2)
    assert image.packages == (BASH, LIBC, ZLIB)


@pytest.mark.parametrize(
    "gone",
    ["var/lib/dpkg/.wh.status", "var/lib/.wh.dpkg", "var/lib/dpkg/.wh..wh..opq", ".wh.var", ".wh..wh..opq"],
)
def test_a_package_that_a_layer_deletes_is_not_listed(root: Path, write_image: WriteImage, gone: str) -> None:
    write_image(tar({"var/lib/dpkg/status": STATUS}), tar({gone: ""}))

    (image,) = contents.containers(root)

    assert image.packages == ()


def test_a_deletion_leaves_the_files_of_its_own_layer(root: Path, write_image: WriteImage) -> None:
    write_image(
        tar({"var/lib/dpkg/status": STATUS}),
        tar({"var/lib/dpkg/status": ZLIB_STATUS, "var/lib/dpkg/.wh..wh..opq": ""}),
    )

    (image,) = contents.containers(root)

    assert image.packages == (ZLIB,)


def test_images_without_a_package_manager_and_of_others_are_read(root: Path, write_image: WriteImage) -> None:
    write_image(
        tar({"var/lib/dpkg/status.d/zlib1g": ZLIB_STATUS, "var/lib/dpkg/status.d/zlib1g.md5sums": "x"})
    )
    write_image(tar({"lib/apk/db/installed": APK}))
    write_image(tar({"pause": "static"}))

    found = {image.packages for image in contents.containers(root)}

    musl = Package(
        family="apk", name="musl", version="1.2.5-r0", arch="x86_64", source="musl 1.2.5-r0",
        supplier="me <me@a.test>", licenses=("MIT",), requires=("busybox", "so:libz.so.1"),
        provides=("so:libc.musl-x86_64.so.1",),
    )  # fmt: skip
    assert found == {(ZLIB,), (musl,), ()}


def test_a_layer_that_cannot_be_read_gives_a_reason_instead_of_an_empty_list(
    root: Path, write_image: WriteImage
) -> None:
    write_image(b"\x28\xb5\x2f\xfd zstd")
    write_image(tar({"usr/lib/sysimage/rpm/rpmdb.sqlite": "x"}))

    unread = sorted(image.unread for image in contents.containers(root))

    assert unread[0] == "it has an rpm database"
    assert "the compression of layer" in unread[1]


@pytest.mark.parametrize(
    ("links", "found"),
    [
        ({"usr/share/doc/zlib1g": "zlib-base"}, ("GPL-2.0-or-later",)),
        ({"usr/share/doc/zlib1g": "/usr/share/doc/zlib-base/"}, ("GPL-2.0-or-later",)),
        ({"./usr/share/doc/zlib1g/copyright": "../zlib-base/copyright"}, ("GPL-2.0-or-later",)),
        ({"usr/share/doc/zlib1g": "a", "usr/share/doc/a": "zlib-base"}, ("GPL-2.0-or-later",)),
        ({"usr/share/doc/zlib1g": "a", "usr/share/doc/a": "zlib1g"}, ()),
        ({"usr/share/doc/zlib1g": "../../../../../etc"}, ()),
        ({}, ()),
    ],
)
def test_licences_of_an_image_are_read_also_where_their_file_is_a_link(
    root: Path, write_image: WriteImage, links: dict[str, str], found: tuple[str, ...]
) -> None:
    files = {"var/lib/dpkg/status": ZLIB_STATUS, "usr/share/doc/zlib-base/copyright": COPYRIGHT}
    write_image(tar(files, links=links))

    (image,) = contents.containers(root)

    assert image.packages[0].licenses == found


def test_of_a_long_copyright_file_of_an_image_the_beginning_is_read(
    root: Path, write_image: WriteImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "_MOST_COPYRIGHT", len(COPYRIGHT))
    copyright_file = f"{COPYRIGHT}\nFiles: x\nLicense: MIT\n"
    status = f"{ZLIB_STATUS}\n{STATUS}"
    write_image(tar({"var/lib/dpkg/status": status, "usr/share/doc/zlib1g/copyright": copyright_file}))

    (image,) = contents.containers(root)

    assert len(image.packages) == 3
    assert {each for package in image.packages for each in package.licenses} == {"GPL-2.0-or-later"}


def test_licences_of_the_host_are_read_also_where_their_folder_is_a_link(root: Path) -> None:
    (root / "usr/share/doc/bash").mkdir(parents=True)
    (root / "usr/share/doc/bash/copyright").write_text(COPYRIGHT)
    (root / "usr/share/doc/libc6").symlink_to("bash")

    assert [package.licenses for package in contents.packages(root)] == [("GPL-2.0-or-later",)] * 2


def test_the_bundle_in_the_image_is_read_too(root: Path, store: Path, write_image: WriteImage) -> None:
    digest = write_image(tar({"var/lib/dpkg/status": STATUS}))
    archive = root / contents.ARCHIVE.lstrip("/")
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w") as bundle:
        for blob in store.iterdir():
            bundle.add(blob, f"blobs/sha256/{blob.name}")
            blob.unlink()

    (image,) = contents.containers(root)

    assert (image.digest, image.packages) == (digest, (BASH, LIBC))


@pytest.mark.parametrize(
    ("spoil", "why"), [("missing", "is missing"), ("other", "has the content of sha256:")]
)
@pytest.mark.parametrize("part", ["layer", "config"])
def test_a_store_with_a_missing_or_changed_blob_has_no_bill(
    root: Path, store: Path, write_image: WriteImage, part: str, spoil: str, why: str
) -> None:
    layer = tar({"var/lib/dpkg/status": STATUS})
    write_image(layer)
    blob = store / hashlib.sha256(layer if part == "layer" else b'{"os": "linux"}').hexdigest()
    if spoil == "missing":
        blob.unlink()
    else:
        blob.write_bytes(blob.read_bytes() + b"\0")

    with pytest.raises(ProvenanceError, match=f"offline image: blob .*{why}"):
        sbom.make(root)


def test_a_changed_manifest_is_an_error(root: Path, store: Path, write_image: WriteImage) -> None:
    digest = write_image(tar({}))
    path = store / digest.partition(":")[2]
    path.write_bytes(path.read_bytes() + b"\n")

    with pytest.raises(
        ProvenanceError, match=r"the manifest sha256:\w+ has other content than its digest says"
    ):
        sbom.make(root)


def test_a_go_program_lists_its_modules(tmp_path: Path) -> None:
    program = tmp_path / "kubelet"
    program.write_bytes(go_program())

    found = go_buildinfo.read(program)

    assert found is not None
    assert found.go == "go1.26.8"
    assert found.modules == (GoModule(path="k8s.io/api", version="v0.35.4", h1=H1),)
    assert found.main == GoModule(path="kubelet", version="(devel)", h1="")


def test_a_module_that_a_folder_replaces_keeps_its_name(tmp_path: Path) -> None:
    lines = "dep\tk8s.io/api\tv0.0.0\n=>\t./staging/src/k8s.io/api\t(devel)\t\n"
    (tmp_path / "kubelet").write_bytes(go_program(lines))

    found = go_buildinfo.read(tmp_path / "kubelet")

    assert found is not None
    assert found.modules == (GoModule(path="k8s.io/api", version="v0.0.0", h1=""),)
    assert found.main is None


@pytest.mark.parametrize(
    ("go", "version"),
    [
        ("go1.26.8", "1.26.8"), ("go1.21", "1.21.0"), ("go1.26rc1", "1.26.0-rc.1"),
        ("go1.26.8 X:nocoverageredesign", "1.26.8"), ("go1.25.3-custom", "1.25.3"),
        ("devel go1.27-abc Mon", ""), ("go1", ""), ("", ""),
    ],
)  # fmt: skip
def test_a_release_of_go_is_a_version_of_its_library(go: str, version: str) -> None:
    assert go_buildinfo.stdlib_version(go) == version


@pytest.mark.parametrize("data", [b"\x7fELF and more", go_program(flags=0)])
def test_another_program_has_no_build_information(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "program").write_bytes(data)

    assert go_buildinfo.read(tmp_path / "program") is None


def components(text: str) -> dict[str, Any]:
    return {part["bom-ref"]: part for part in json.loads(text)["components"]}


def test_the_bill_lists_host_images_and_kubelet(root: Path, write_image: WriteImage) -> None:
    release = {"usr/lib/os-release": "ID=debian\nVERSION_ID=12\n"}
    digest = write_image(tar({"var/lib/dpkg/status": ZLIB_STATUS, **release}))
    lock(root, **{"a.b/app:1": digest})
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/kubelet").write_bytes(go_program())

    text = sbom.make(root)

    assert sbom.make(root) == text
    found = components(text)
    assert found["host/deb/libc6/amd64/2.41-12+b1"]["purl"] == (
        "pkg:deb/debian/libc6@2.41-12%2Bb1?arch=amd64&distro=debian-13&upstream=glibc%402.41-12"
    )
    image = found[f"container/{digest}"]
    assert (image["type"], image["name"], image["version"]) == ("container", "a.b/app:1", digest)
    zlib, system = image["components"]
    assert zlib["purl"] == "pkg:deb/debian/zlib1g@1.3?arch=amd64&distro=debian-12&upstream=zlib"
    assert (system["name"], system["version"]) == ("debian", "12")
    assert [part["purl"] for part in system["components"]] == [
        "pkg:deb/debian/zlib@1.3?arch=source&distro=debian-12"
    ]
    kubelet = found["kubelet"]
    assert kubelet["hashes"][0]["content"] == hashlib.sha256(go_program()).hexdigest()
    assert [part["purl"] for part in kubelet["components"]] == [
        "pkg:golang/k8s.io/api@v0.35.4", "pkg:golang/k8s.io/kubernetes@v1.35.4", "pkg:golang/stdlib@1.26.8",
    ]  # fmt: skip
    assert json.loads(text)["metadata"]["timestamp"] == "2026-01-02T03:04:05+00:00"


def test_an_image_that_no_lock_names_is_listed_all_the_same(root: Path, write_image: WriteImage) -> None:
    digest = write_image(tar({}))

    assert components(sbom.make(root))[f"container/{digest}"]["name"] == "unknown"


def test_what_a_bill_lists_can_be_compared(root: Path, write_image: WriteImage, tmp_path: Path) -> None:
    digest = write_image(tar({}))
    lock(root, **{"a.b/app:1": digest})
    path = tmp_path / sbom.FILE
    path.write_text(sbom.make(root))

    listed = sbom.read(path)

    assert listed.packages == (("bash", "5.2-1", "amd64"), ("libc6", "2.41-12+b1", "amd64"))
    assert listed.containers == {digest: "a.b/app:1"}
    assert listed.kubelet_sha256 is None


def test_a_file_that_is_no_bill_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"components": [{}]}')

    with pytest.raises(ProvenanceError, match="no bill of materials"):
        sbom.read(tmp_path / "x")
