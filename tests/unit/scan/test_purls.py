# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from packageurl import PackageURL

from goldsmith.scan import purls

DIGEST = f"sha256:{'d' * 64}"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("deb", "debian-13", "bash", "5.2-1", "amd64"),
         "pkg:deb/debian/bash@5.2-1?arch=amd64&distro=debian-13"),
        (("deb", "debian-13", "zlib1g", "1:1.3", "amd64", "zlib 1:1.3"),
         "pkg:deb/debian/zlib1g@1:1.3?arch=amd64&distro=debian-13&upstream=zlib"),
        (("deb", "debian-13", "bash", "5.2-1+b1", "amd64", "bash 5.2-1"),
         "pkg:deb/debian/bash@5.2-1%2Bb1?arch=amd64&distro=debian-13&upstream=bash%405.2-1"),
        (("rpm", "fedora-44", "grep", "1:3.12-2.fc44", "x86_64", "grep-3.12-2.fc44.src.rpm"),
         "pkg:rpm/fedora/grep@3.12-2.fc44?arch=x86_64&distro=fedora-44&epoch=1"
         "&upstream=grep-3.12-2.fc44.src.rpm"),
        (("apk", "alpine-3.22.1", "musl", "1.2.5-r0", "x86_64", "musl 1.2.5-r0"),
         "pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.22.1"),
        (("rpm", "opensuse-leap-15.6", "bash", "5", "x86_64"),
         "pkg:rpm/opensuse-leap/bash@5?arch=x86_64&distro=opensuse-leap-15.6"),
        (("deb", "", "libstdc++6", "14~1", "amd64"), "pkg:deb/linux/libstdc%2B%2B6@14~1?arch=amd64"),
    ],
)  # fmt: skip
def test_a_package_has_one_canonical_spelling(words: tuple[str, ...], expected: str) -> None:
    made = purls.package(*words).to_string()

    assert made == expected
    assert PackageURL.from_string(made).to_string() == made


@pytest.mark.parametrize(
    ("ref", "repository"),
    [
        ("goldsmith.local/pause:1", "goldsmith.local/pause"),
        ("redis:7", "docker.io/library/redis"),
        ("localhost:5000/app", "localhost:5000/app"),
        (f"quay.test/team/app:1@{DIGEST}", "quay.test/team/app"),
        (f"quay.test/team/app@{DIGEST}", "quay.test/team/app"),
    ],
)
def test_an_image_is_named_by_its_repository(ref: str, repository: str) -> None:
    made = purls.container(ref, DIGEST)

    assert (made.name, made.version) == (repository.rpartition("/")[2], DIGEST)
    assert made.qualifiers == {"repository_url": repository}


def test_a_program_is_a_folder_of_its_module() -> None:
    made = purls.go_module("k8s.io/kubernetes", "v1.35.4", "cmd/kubelet")

    assert made.to_string() == "pkg:golang/k8s.io/kubernetes@v1.35.4#cmd/kubelet"
    assert purls.go_module("stdlib", "1.26.8").to_string() == "pkg:golang/stdlib@1.26.8"
