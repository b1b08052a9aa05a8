# SPDX-License-Identifier: Apache-2.0
"""What outside scanners and NTIA's minimum elements need of a bill of materials."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.model.bom import Bom
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from goldsmith.scan import components, sbom
from goldsmith.scan.components import Parts
from goldsmith.scan.contents import Container
from goldsmith.scan.go_buildinfo import GoBuild, GoModule
from goldsmith.scan.package_databases import Package, dpkg
from tests.support import samples
from tests.support.go_program import go_program

STATUS = """Package: libc6
Status: install ok installed
Maintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>
Architecture: amd64
Source: glibc
Version: 2.41-12
Provides: libc6-2.41 (= 2.41-12)

Package: bash
Status: install ok installed
Maintainer: Matthias Klose <doko@debian.org>
Architecture: amd64
Version: 1:5.2-1
Pre-Depends: libc6 (>= 2.38)
Depends: awk:any | mawk, not-installed

Package: mawk
Status: install ok installed
Maintainer: Boyuan Yang <byang@debian.org>
Architecture: amd64
Source: mawk (1:1.3-0)
Version: 1.3-1
Depends: libc6-2.41
Provides: awk

"""
KUBELET = GoBuild(
    go="go1.26.8",
    main=GoModule(path="k8s.io/kubernetes", version="v1.35.4", h1=""),
    modules=(GoModule(path="github.com/a/b/v2", version="v2.1.0", h1=""),),
)
DIGEST = f"sha256:{'d' * 64}"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a Debian that goldsmith built."""
    build = {
        "name": "mine", "build_id": "20260102T030405Z-abc", "repository": "https://git.test/team/images.git",
        "kubelet": {"version": "1.35.4"},
    }  # fmt: skip
    texts = {
        "var/lib/dpkg/status": STATUS,
        "etc/os-release": 'NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="13"\n',
        "usr/lib/goldsmith/build.json": json.dumps(build),
        "usr/lib/goldsmith/packages.json": json.dumps(
            samples.packages(
                {"name": "bash", "version": "1:5.2-1", "architecture": "amd64", "sha256": "b" * 64},
                {"name": "mawk", "version": "1.3-1", "architecture": "amd64", "sha256": None},
            )
        ),
    }
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def every(parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for part in parts:
        yield part
        yield from every(part.get("components", []))


def written(*found: Parts) -> dict[str, dict[str, Any]]:
    """The components of a valid bill, by reference."""
    text = JsonV1Dot6(Bom(components=[each for parts in found for each in parts.listed])).output_as_string()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    return {part["bom-ref"]: part for part in every(json.loads(text)["components"])}


def names(found: dict[str, dict[str, Any]], parts: Parts) -> dict[str, set[str]]:
    """What each component depends on, by name."""
    return {
        found[str(ref.value)]["name"]: {found[str(other.value)]["name"] for other in others}
        for ref, others in parts.needs
    }


def test_a_bill_has_the_minimum_elements_of_the_ntia(root: Path) -> None:
    """https://www.ntia.gov/report/2021/minimum-elements-software-bill-materials-sbom, data fields."""
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/kubelet").write_bytes(go_program())

    bill = json.loads(sbom.make(root))

    listed = [bill["metadata"]["component"], *every(bill["components"])]
    assert {part["name"] for part in listed} == {
        "mine", "debian", "bash", "libc6", "mawk", "glibc",
        "kubelet", "k8s.io/kubernetes", "k8s.io/api", "stdlib",
    }  # fmt: skip
    assert [part["name"] for part in listed if not part["supplier"]["name"]] == []
    assert [part["name"] for part in listed if not part["version"]] == []
    assert [part["name"] for part in listed if not (part.get("purl") or part.get("cpe"))] == []
    related = {each["ref"]: each.get("dependsOn", []) for each in bill["dependencies"]}
    assert related.keys() == {part["bom-ref"] for part in listed}
    assert {ref for refs in related.values() for ref in refs} | {"image"} == related.keys()
    assert bill["metadata"]["authors"] == [{"name": "goldsmith"}]
    assert [tool["name"] for tool in bill["metadata"]["tools"]["components"]] == ["goldsmith"]
    assert bill["metadata"]["timestamp"] == "2026-01-02T03:04:05+00:00"


def test_all_purls_of_a_bill_are_canonical(root: Path) -> None:
    bill = json.loads(sbom.make(root))

    found = [part["purl"] for part in every(bill["components"]) if "purl" in part]
    assert [PackageURL.from_string(purl).to_string() for purl in found] == found
    assert len(found) == 4


def test_an_image_of_a_checkout_with_a_repository_names_its_supplier(root: Path) -> None:
    subject = json.loads(sbom.make(root))["metadata"]["component"]

    assert (subject["supplier"], subject["type"]) == ({"name": "git.test/team"}, "platform")
    assert subject["purl"] == "pkg:generic/mine@20260102T030405Z-abc"


def test_hashes_are_those_of_the_packages_that_were_fetched(root: Path) -> None:
    found = {part["name"]: part.get("hashes") for part in json.loads(sbom.make(root))["components"]}

    assert found["bash"] == [{"alg": "SHA-256", "content": "b" * 64}]
    assert (found["mawk"], found["libc6"]) == (None, None)


def test_packages_depend_on_packages_also_by_what_these_provide() -> None:
    parts = components.packages(tuple(dpkg(STATUS)), "debian-13", "host")

    assert names(written(parts), parts) == {"bash": {"libc6", "mawk"}, "mawk": {"libc6"}, "libc6": set()}


def test_a_package_depends_on_that_of_its_own_architecture() -> None:
    found = [
        Package(family="deb", name="libc6", version="1", arch="amd64"),
        Package(family="deb", name="libc6", version="1", arch="i386"),
        Package(family="deb", name="tool", version="1", arch="i386", requires=("libc6", "data", "tool")),
        Package(family="deb", name="data", version="1", arch="all", requires=("libc6",)),
    ]

    parts = components.packages(found, "", "host")

    needs = {str(ref.value): {str(each.value) for each in others} for ref, others in parts.needs}
    assert needs["host/deb/tool/i386/1"] == {"host/deb/libc6/i386/1", "host/deb/data/all/1"}
    assert needs["host/deb/data/all/1"] == {"host/deb/libc6/amd64/1", "host/deb/libc6/i386/1"}


def test_trivy_finds_the_source_package_where_it_looks() -> None:
    found = written(components.packages(tuple(dpkg(STATUS)), "debian-13", "host"))

    properties = {
        part["name"]: {each["name"].rpartition(":")[2]: each["value"] for each in part.get("properties", ())}
        for part in found.values()
    }
    assert (
        properties["libc6"].items() >= {"SrcName": "glibc", "SrcVersion": "2.41", "SrcRelease": "12"}.items()
    )
    assert properties["mawk"].items() >= {"SrcEpoch": "1", "SrcVersion": "1.3", "SrcRelease": "0"}.items()
    assert "SrcName" not in properties["bash"]


def test_scanners_that_match_modules_find_kubernetes_and_go_among_them() -> None:
    parts = components.kubelet("a" * 64, KUBELET, "1.35.4")
    found = written(parts)

    libraries = {part["purl"] for part in found["kubelet"]["components"] if part["type"] == "library"}
    assert libraries == {
        "pkg:golang/k8s.io/kubernetes@v1.35.4", "pkg:golang/stdlib@1.26.8",
        "pkg:golang/github.com/a/b/v2@v2.1.0",
    }  # fmt: skip
    assert found["kubelet"]["cpe"] == "cpe:2.3:a:kubernetes:kubernetes:1.35.4:*:*:*:*:*:*:*"
    assert names(found, parts)["kubelet"] == {"k8s.io/kubernetes", "stdlib", "github.com/a/b/v2"}


@pytest.mark.parametrize(
    ("made", "version", "listed"),
    [
        (None, "1.35.4", {"k8s.io/kubernetes@v1.35.4"}),
        (None, "unknown", set()),
        (GoBuild(go="devel go1.27-abc", modules=()), "unknown", set()),
        (GoBuild(go="go1.26rc1", modules=(), main=GoModule(path="kubelet", version="(devel)", h1="")),
         "1.36.0+k3s1", {"k8s.io/kubernetes@v1.36.0+k3s1", "stdlib@1.26.0-rc.1"}),
    ],
)  # fmt: skip
def test_a_kubelet_that_does_not_say_what_it_is_has_the_version_of_the_build(
    made: GoBuild | None, version: str, listed: set[str]
) -> None:
    found = written(components.kubelet("a" * 64, made, version))

    assert found.keys() == {"kubelet", *(f"kubelet/{each}" for each in listed)}
    assert ("cpe" in found["kubelet"]) is (version != "unknown")


@pytest.mark.parametrize(
    ("text", "name", "email"),
    [
        ("Matthias Klose <doko@debian.org>", "Matthias Klose", "doko@debian.org"),
        ('"Adam C. Powell, IV" <a@b.test>', "Adam C. Powell, IV", "a@b.test"),
        ("<a@b.test>", "a@b.test", "a@b.test"),
        ("Fedora Project", "Fedora Project", None),
        ("me <at home>", "me <at home>", None),
        ("a <b@c> d", "a <b@c> d", None),
        ("é <x@y> ", "é", "x@y"),
    ],
)
def test_a_supplier_is_a_name_and_an_address_where_it_has_one(
    text: str, name: str, email: str | None
) -> None:
    package = Package(family="deb", name="a", version="1", arch="all", supplier=text)

    (part,) = written(components.packages([package], "", "host")).values()

    assert part["supplier"] == {"name": name, **({"contact": [{"email": email}]} if email else {})}


@pytest.mark.parametrize(
    ("declared", "listed"),
    [
        (("MIT",), [{"license": {"id": "MIT"}}]),
        (("bsd-3-clause", "public domain"),
         [{"license": {"id": "BSD-3-Clause"}}, {"license": {"name": "public domain"}}]),
        (("MIT AND GPL-2.0-only",), [{"expression": "MIT AND GPL-2.0-only"}]),
        (("MIT AND GPL-2.0-only", "ISC"),
         [{"license": {"id": "ISC"}}, {"license": {"name": "MIT AND GPL-2.0-only"}}]),
        (("GPLv2+ and (foo",), [{"license": {"name": "GPLv2+ and (foo"}}]),
        (("", " "), []),
    ],
)  # fmt: skip
def test_licences_are_ids_one_expression_or_names(
    declared: tuple[str, ...], listed: list[dict[str, Any]]
) -> None:
    package = Package(family="rpm", name="a", version="1", arch="noarch", licenses=declared)

    (part,) = written(components.packages([package], "", "host")).values()

    for each in part.get("licenses", []):
        assert each.get("license", each).pop("acknowledgement") == "declared"
    assert part.get("licenses", []) == listed


def test_an_image_depends_on_its_packages_and_names_its_registry() -> None:
    debian = {"ID": "debian", "VERSION_ID": "13"}
    image = Container(digest=DIGEST, os=debian, layers=(), packages=tuple(dpkg(STATUS)))

    named = components.container(image, {DIGEST: "quay.test/team/app:1"})
    unnamed = components.container(image, {})

    found = written(named)
    assert found[f"container/{DIGEST}"]["supplier"] == {"name": "quay.test/team"}
    assert names(found, named)["quay.test/team/app:1"] == {"bash", "libc6", "mawk", "debian"}
    assert names(found, named)["debian"] == {"glibc"}
    (unknown,) = (part for part in written(unnamed).values() if part["type"] == "container")
    assert (unknown["name"], "supplier" in unknown) == ("unknown", False)
    assert unknown["purl"] == f"pkg:oci/unknown@{DIGEST}"


@pytest.mark.parametrize(
    ("release", "found"),
    [
        ({"ID": "debian", "VERSION_ID": "13"},
         ("debian", "13", "cpe:2.3:o:debian:debian_linux:13:*:*:*:*:*:*:*")),
        ({"ID": "fedora", "VERSION_ID": "44", "CPE_NAME": "cpe:/o:fedoraproject:fedora:44"},
         ("fedora", "44", "cpe:/o:fedoraproject:fedora:44")),
        ({"ID": "arch"}, ("arch", None, None)),
    ],
)  # fmt: skip
def test_the_distribution_is_a_component(
    release: dict[str, str], found: tuple[str, str | None, str | None]
) -> None:
    (part,) = written(components.operating_system(release, (), "system")).values()

    assert (part["name"], part.get("version"), part.get("cpe")) == found
    assert part["type"] == "operating-system"


def test_a_system_without_a_name_is_no_component() -> None:
    assert components.operating_system({}, tuple(dpkg(STATUS)), "system").listed == ()


def test_scanners_that_match_by_name_find_source_packages_once_in_the_distribution() -> None:
    """Not those whose name a package of theirs has: bash, but libc6 for glibc and libc-bin alike."""
    found = [
        *dpkg(STATUS),
        Package(family="deb", name="libc-bin", version="2.41-12", arch="amd64", source="glibc 2.41-12"),
        Package(family="deb", name="gcc", version="4:14.2", arch="amd64", source="gcc-defaults 1.220"),
        Package(family="deb", name="cpp", version="14", arch="amd64", source="gcc 14"),
        Package(family="rpm", name="a", version="1", arch="noarch", source="b-1.src.rpm"),
    ]

    parts = components.operating_system({"ID": "debian", "VERSION_ID": "13"}, found, "system")

    listed = {part["purl"] for part in written(parts)["system/os/debian"]["components"]}
    assert listed == {
        "pkg:deb/debian/glibc@2.41-12?arch=source&distro=debian-13",
        "pkg:deb/debian/gcc-defaults@1.220?arch=source&distro=debian-13",
        "pkg:deb/debian/gcc@14?arch=source&distro=debian-13",
    }
