# SPDX-License-Identifier: Apache-2.0
"""Differences between two builds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import jsonschema

from goldsmith.changes import build_diff, contents, spec_keys
from goldsmith.changes.build_diff import BuildDiff
from goldsmith.changes.contents import Contents
from goldsmith.core import documents
from goldsmith.image.manifest import Manifest
from goldsmith.image.packages import PackageList
from tests.support import samples

SPEC = "name: mine\nembed: content-store\ndib-env: {DIB_X: '1'}\n"
HIDDEN = re.compile(r"\(hidden [0-9a-f]{4}\)")
EXECUTABLE = {"sha256": "7" * 64, "executable": True}


def package(name: str, version: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": name, "version": version, "architecture": "amd64", "sha256": "b" * 64, "suite": "trixie",
        **changes,
    }  # fmt: skip


def build(
    build_id: str = "old",
    *,
    spec: str | None = SPEC,
    packages: list[dict[str, Any]] | None = None,
    inside: Mapping[str, Mapping[str, str]] | None = None,
    **changes: Any,
) -> Contents:
    """The contents of a build whose manifest has these changes."""
    about = {
        "build_id": build_id,
        "element_files": {"e": {"README.rst": {**EXECUTABLE, "executable": False}}},
    }
    about["spec_sha256"] = samples.sha((spec or build_id).encode())
    return contents.of_records(
        Manifest.parse(samples.manifest(**{**about, **changes}), "manifest"),
        PackageList.parse(samples.packages(*(packages or [])), "packages"),
        spec=None if spec is None else spec_keys.of_text(spec), inside=inside,
    )  # fmt: skip


def image(ref: str, content: str | None = "c", **changes: Any) -> dict[str, Any]:
    """A container image that was built here: another digest each time."""
    own = f"sha256:{samples.sha(f'{ref} {content} {changes}'.encode())}"
    found = samples.image(ref, **{"config_digest": own, "digest": own, **changes})
    return found if content is None else {**found, "content_digest": f"sha256:{content * 64}"}


def lines(diff: BuildDiff) -> list[str]:
    return diff.text().splitlines()[1:-1]


def digit(number: int) -> str:
    return f"sha256:{str(number) * 64}"


def test_release_notes_list_what_changed() -> None:
    old = build(
        kernels=["6.0"], elements={"e": "2" * 64}, containers=[image("a/nginx:1", "a")],
        kubelet={"version": "1.34.1", "source": "go-module", "sha256": "a" * 64, "provenance": {}},
        packages=[package("bash", "5.1"), package("dash", "1")],
        inside={"a/nginx:1": {"nginx": "1.26", "zlib1g": "1"}},
    )  # fmt: skip
    new = build(
        "new", spec=SPEC.replace("'1'", "'2'") + "packages: [vim]\n", embed="archive",
        elements={"e": "1" * 64}, packages=[package("bash", "5.2")],
        element_files={"e": {"install.d/50-x": EXECUTABLE}}, containers=[image("a/nginx:1", "b")],
        inside={"a/nginx:1": {"nginx": "1.28", "zlib1g": "1"}},
    )  # fmt: skip

    diff = build_diff.between(old, new)

    assert diff.text().splitlines() == [
        "new, after old",
        "  spec (3)",
        "    ~ dib-env.DIB_X 1 -> 2",
        "    ~ embed content-store -> archive",
        "    + packages[vim]",
        "  kernel (2)",
        "    - 6.0",
        "    + 6.1",
        "  kubelet (1)",
        "    - kubelet 1.34.1 (go-module)",
        "  container images (1)",
        f"    ~ a/nginx:1 {'a' * 12} -> {'b' * 12}",
        "  packages in container images (1)",
        "    a/nginx:1",
        "      ~ nginx 1.26 -> 1.28",
        "  packages (2)",
        "    ~ bash 5.1 -> 5.2",
        "    - dash 1",
        "  elements (1)",
        f"    ~ e {'2' * 12} -> {'1' * 12}",
        "  files of elements (2)",
        "    e",
        f"      - README.rst {'7' * 12}",
        f"      + install.d/50-x {'7' * 12} executable",
        "  size 2.3 MiB (+0 bytes)",
    ]
    assert build_diff.between(new, old).text().count("\n") == diff.text().count("\n")


def test_the_answer_is_as_its_schema_has_it() -> None:
    old = build(elements={"e": "2" * 64}, containers=[image("a/b:1")])
    diff = build_diff.between(old, build("new", containers=[image("a/b:2", None)], element_files=None))

    answer = json.loads(json.dumps(build_diff.answer(diff).as_dict()))

    jsonschema.validate(answer, documents.json_schema(build_diff.DiffAnswer))
    assert answer.keys() == {"schema", "version", "old", "new", "size", "changes", "not_compared"}
    assert answer["changes"]["elements"] == [{"name": "e", "old": "2" * 64, "new": "1" * 64}]
    assert answer["changes"]["container images"][0]["was"] == "a/b:1"
    assert answer["not_compared"][-1] == {"what": "files of elements", "why": "not recorded in new"}
    assert answer["size"] == {"old": len(samples.DISK), "new": len(samples.DISK)}
    assert build_diff.DiffAnswer.parse(answer, "answer") == build_diff.answer(diff)


def test_a_build_and_itself_are_without_differences() -> None:
    one = build(containers=[image("a/b:1")])

    diff = build_diff.between(one, one)

    assert diff.is_empty
    assert lines(diff) == ["  no differences"]


def test_specs_in_another_order_with_other_comments_are_the_same() -> None:
    old = build(spec="containers: [{ref: a}, {ref: b}]\nname: x\n")
    new = build("new", spec="# why\nname: 'x'\ncontainers:\n- ref: b\n- ref: a\n")

    assert build_diff.between(old, new).is_empty


def test_a_pod_that_is_new_has_one_line_and_all_its_keys_in_the_answer() -> None:
    pod = "verify: {pods: [{metadata: {name: web}, spec: {containers: [{name: c, image: i}]}}]}\n"

    diff = build_diff.between(build(), build("new", spec=SPEC + pod))

    assert lines(diff) == ["  spec (4)", "    + verify.pods[web]"]
    assert len(diff.changes["spec"]) == 4


def test_a_key_of_a_pod_that_changed_is_named() -> None:
    pod = "verify: {{pods: [{{metadata: {{name: web}}, spec: {{hostNetwork: {}}}}}]}}\n"

    diff = build_diff.between(build(spec=pod.format("true")), build("new", spec=pod.format("false")))

    assert lines(diff) == ["  spec (1)", "    ~ verify.pods[web].spec.hostNetwork true -> false"]


def test_a_spec_that_an_old_build_did_not_record_is_named_as_such() -> None:
    new = build("new", spec="release: forky\n", release="forky")

    diff = build_diff.between(build(spec=None), new)

    assert lines(diff) == [
        "  spec (1)", "    ~ release trixie -> forky", "  not compared (1)",
        "    ? other keys of the spec: not recorded in old",
    ]  # fmt: skip
    assert not diff.is_empty
    same = build("new", spec=None, spec_sha256=samples.sha(b"old"))
    assert build_diff.between(build(spec=None), same).is_empty


def test_a_secret_that_changed_is_named_and_not_shown() -> None:
    text = "publish: {{properties: {{api_key: {}, b: {}}}}}\n"

    diff = build_diff.between(build(spec=text.format("one", 1)), build("new", spec=text.format("two", 1)))
    same = build_diff.between(build(spec=text.format("one", 1)), build("new", spec=text.format("one", 2)))

    assert [HIDDEN.sub("(hidden)", line) for line in lines(diff)] == [
        "  spec (1)", "    ~ publish.properties.api_key (hidden) -> (hidden)",
    ]  # fmt: skip
    assert lines(same) == ["  spec (1)", "    ~ publish.properties.b 1 -> 2"]


def test_control_characters_in_a_key_do_not_reach_a_terminal() -> None:
    diff = build_diff.between(build(), build("new", spec=SPEC + '"a\\e[31m": "b\\e[0m"\n'))

    assert "\x1b" not in diff.text()


def test_images_of_the_same_content_are_the_same_whatever_their_digests() -> None:
    old = build(containers=[image("a/b:1", digest=digit(1)), image("c:1", digest=digit(3), content=None)])
    again = [image("c:1", digest=digit(3), content=None), image("a/b:1", digest=digit(2))]

    assert build_diff.between(old, build("new", containers=again)).is_empty


def test_contents_that_were_not_recorded_are_named_with_the_digests() -> None:
    old = build(containers=[image("a/b:1", None, digest=digit(1))])
    new = build("new", containers=[image("a/b:1", digest=digit(2))])

    diff = build_diff.between(old, new)

    assert lines(diff)[2:] == [
        f"    ? content of a/b:1: not recorded in old; digests {'1' * 12} -> {'2' * 12}",
        "    ? packages in container images: not recorded in old and new",
    ]


def test_images_that_a_registry_holds_are_compared_by_their_digests() -> None:
    pulled = [image("a/b:1", None, digest=digit(n), source="registry") for n in (1, 2)]

    diff = build_diff.between(
        build(containers=pulled[:1], inside={"a/b:1": {"x": "1"}}),
        build("new", containers=pulled[1:], inside={}),
    )

    assert lines(diff) == [
        "  container images (1)", f"    ~ a/b:1 {'1' * 12} -> {'2' * 12}", "  not compared (1)",
        "    ? packages in a/b:1: not recorded in new",
    ]  # fmt: skip


def test_a_renamed_image_and_another_tag_are_named_with_both_names() -> None:
    old = [image("a/web:1", "a"), image("a/db:1", "b"), image("a/gone:1", "d")]
    new = [image("b/site:9", "a"), image("a/db:2", "c"), image("a/new:1", "e")]

    diff = build_diff.between(
        build(containers=old, inside={"a/db:1": {"x": "1"}}),
        build("new", containers=new, inside={"a/db:2": {"x": "2"}}),
    )

    assert lines(diff) == [
        "  container images (4)",
        f"    ~ a/db:1 -> a/db:2 {'b' * 12} -> {'c' * 12}",
        f"    - a/gone:1 {'d' * 12}",
        f"    + a/new:1 {'e' * 12}",
        "    ~ a/web:1 -> b/site:9, same content",
        "  packages in container images (1)",
        "    a/db:2",
        "      ~ x 1 -> 2",
    ]


def test_an_element_that_is_gone_has_one_line() -> None:
    old = build(elements={"e": "1" * 64, "f": "2" * 64}, element_files={"e": {}, "f": {"a": EXECUTABLE}})

    diff = build_diff.between(old, build("new"))

    assert lines(diff) == ["  elements (1)", f"    - f {'2' * 12}"]


def test_a_file_of_an_element_whose_mode_changed() -> None:
    trees = [{"e": {"a": {**EXECUTABLE, "executable": mode}}} for mode in (True, False)]
    old, new = (
        build(str(n), elements={"e": str(n) * 64}, element_files=tree) for n, tree in enumerate(trees)
    )

    diff = build_diff.between(old, new)

    assert lines(diff)[-1] == f"      ~ a {'7' * 12} executable -> {'7' * 12}"


def test_packages_of_a_foreign_architecture_are_compared_by_their_versions() -> None:
    foreign = [package("bash", "5.2", architecture="arm64", sha256="c" * 64)]

    diff = build_diff.between(build(), build("new", arch="arm64", packages=foreign))

    assert lines(diff) == ["  spec (1)", "    ~ arch amd64 -> arm64"]


def test_packages_of_several_architectures_and_versions_do_not_hide_each_other() -> None:
    old = [package("libc6", "2"), package("kernel", "1"), package("kernel", "2")]
    new = [package("libc6", "2"), package("libc6", "1", architecture="i386"), package("kernel", "2")]

    diff = build_diff.between(build(packages=old), build("new", packages=new))

    assert lines(diff) == ["  packages (2)", "    ~ kernel 1, 2 -> 2", "    + libc6:i386 1"]


def test_a_package_of_the_same_version_from_another_file() -> None:
    old, new = ([package("bash", "5.2", sha256=each)] for each in ("a" * 64, "b" * 64))
    unknown = [package("bash", "5.2", sha256=None)]

    diff = build_diff.between(build(packages=old), build("new", packages=new))

    assert lines(diff)[1:] == [f"    ~ bash 5.2 sha256 {'a' * 12} -> 5.2 sha256 {'b' * 12}"]
    assert build_diff.between(build(packages=old), build("new", packages=unknown)).is_empty


def test_a_kubelet_of_the_same_version_that_another_go_compiled() -> None:
    made = [
        {"version": "1.35.4", "source": "go-module", "sha256": go * 64, "provenance": {"go": f"1.26.{go}"}}
        for go in "12"
    ]

    diff = build_diff.between(build(kubelet=made[0]), build("new", kubelet=made[1]))

    assert lines(diff)[1:] == [
        "    ~ kubelet go 1.26.1 -> 1.26.2", f"    ~ kubelet sha256 {'1' * 12} -> {'2' * 12}",
    ]  # fmt: skip


def test_another_base_image() -> None:
    bases = [{"url": f"https://x.test/{n}.qcow2", "sha256": str(n) * 64} for n in (1, 2)]

    diff = build_diff.between(build(base_image=bases[0]), build("new", base_image=bases[1]))

    assert lines(diff)[1:] == [
        f"    ~ https://x.test/1.qcow2 -> https://x.test/2.qcow2 {'1' * 12} -> {'2' * 12}"
    ]
    assert lines(build_diff.between(build(), build(base_image=bases[0])))[1:] == [
        f"    + https://x.test/1.qcow2 {'1' * 12}"
    ]
