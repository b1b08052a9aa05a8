# SPDX-License-Identifier: Apache-2.0
"""Update the golden files: UPDATE_GOLDEN=1 pytest -n0 tests/unit/spec/test_load.py"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from goldsmith.core import paths
from goldsmith.errors import SpecError
from goldsmith.spec import checks, load
from goldsmith.spec.model import Arch, ContainerSpec, Distribution, ImageSpec, KubeletSource
from tests.support import installed

GOLDEN = paths.project_root() / "tests" / "golden" / "specs"
DIGEST = "a" * 64
FEDORA = {"fedora_base_sha256": "f" * 64}
MINIMAL = "name: mine\ndistribution: debian\nrelease: trixie\ncontainers: []\n"
# a kubelet of its own is nothing that goldsmith asks for there
CUSTOM = "name: mine\ndistribution: custom\nrelease: trixie\ncontainers: []\nelements: [our-element]\n"
PAUSE = "containers: [{ref: 'a.b/pause:1'}, {ref: 'a.b/app:1'}]"
KUBELET = f"name: mine\ndistribution: debian\nrelease: trixie\nkubelet: {{version: '1.35.4'}}\n{PAUSE}\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with a spec folder, one element and one build context."""
    for folder in ("image-specs/partials", "image-specs/variables", "elements/our-element", "containers/app"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "containers/app/Dockerfile").write_text("FROM scratch\n")
    return tmp_path


def write(checkout: Path, text: str, **partials: str) -> None:
    (checkout / "image-specs/mine.yaml.j2").write_text(text)
    for name, content in partials.items():
        (checkout / f"image-specs/partials/{name}.yaml.j2").write_text(content)


def problems(
    checkout: Path, text: str, variables: Mapping[str, str] | None = None, **partials: str
) -> list[str]:
    write(checkout, text, **partials)
    with pytest.raises(SpecError) as e:
        load.load("mine", variables or {}, root=checkout)
    assert e.value.exit_code == 2
    return [line.removeprefix("image-specs/") for line in str(e.value).splitlines()]


def spec_of(
    checkout: Path, text: str, variables: Mapping[str, str] | None = None, **partials: str
) -> ImageSpec:
    write(checkout, text, **partials)
    return load.load("mine", variables or {}, root=checkout).spec


def assert_golden(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


# What is shipped


def test_the_shipped_specs_are_found() -> None:
    assert {"debian-kubelet", "fedora-kubelet"} <= set(load.names())


@pytest.mark.parametrize(
    ("golden", "name", "variables"),
    [
        ("debian-kubelet.yaml", "debian-kubelet", {}),
        ("debian-kubelet-arm64.yaml", "debian-kubelet", {"arch": "arm64"}),
        ("fedora-kubelet.yaml", "fedora-kubelet", FEDORA),
        ("fedora-kubelet-arm64.yaml", "fedora-kubelet", {**FEDORA, "arch": "arm64"}),
    ],
)
def test_a_shipped_spec_renders_as_the_golden_file(
    golden: str, name: str, variables: Mapping[str, str]
) -> None:
    loaded = load.load(name, variables)

    assert_golden(golden, loaded.rendered)
    assert loaded.spec.name == name
    assert loaded.spec.arch is Arch(variables.get("arch", "amd64"))
    assert loaded.sha256 == hashlib.sha256(loaded.rendered.encode()).hexdigest()
    assert load.render(name, variables) == loaded.rendered


def test_every_pod_of_a_shipped_spec_has_a_readiness_probe() -> None:
    pods = load.load("debian-kubelet").spec.verify.pods

    assert {pod["metadata"]["name"]: bool(pod["spec"].get("hostNetwork")) for pod in pods} == {
        "nginx": True,
        "redis": False,
    }
    for pod in pods:
        assert all("readinessProbe" in container for container in pod["spec"]["containers"])


def test_the_fedora_spec_says_where_its_hash_is_found() -> None:
    with pytest.raises(SpecError) as e:
        load.load("fedora-kubelet")

    assert "fedora-kubelet.yaml.j2:12: variable 'fedora_base_sha256' is not set" in str(e.value)
    assert "Fedora-Cloud-44-1.7-x86_64-CHECKSUM" in str(e.value)
    assert "--var fedora_base_sha256=" in str(e.value)


def test_the_fedora_spec_takes_another_base_image() -> None:
    spec = load.load("fedora-kubelet", {**FEDORA, "fedora_base_url": "file:///srv/base.qcow2"}).spec

    assert spec.base_image is not None
    assert spec.base_image.url == "file:///srv/base.qcow2"
    assert spec.kubelet is not None
    assert spec.kubelet.source is KubeletSource.package


def test_every_key_fills_its_field() -> None:
    loaded = load.load(str(GOLDEN / "every-key.yaml.j2"))

    assert_golden("every-key.json", json.dumps(dataclasses.asdict(loaded.spec), indent=2) + "\n")


def test_every_field_of_the_every_key_spec_differs_from_its_default() -> None:
    spec = load.load(str(GOLDEN / "every-key.yaml.j2")).spec

    for part in (spec, spec.disk, spec.verify, spec.kubelet, spec.heat_agent, spec.publish):
        assert part is not None
        for field in dataclasses.fields(part):
            assert getattr(part, field.name) != field.default, field.name


# Defaults and what a spec becomes


def test_a_minimal_spec_takes_every_default_from_the_spec_module(checkout: Path) -> None:
    assert spec_of(checkout, MINIMAL) == ImageSpec(
        name="mine", distribution=Distribution.debian, release="trixie", containers=()
    )


def test_kubelet_null_is_no_kubelet(checkout: Path) -> None:
    assert spec_of(checkout, MINIMAL + "kubelet: null\n").kubelet is None


def test_a_registry_image_is_named_by_its_reference_without_the_digest(checkout: Path) -> None:
    registry = f"registry.example.org/team/agent:2@sha256:{DIGEST}"

    spec = spec_of(checkout, CUSTOM.replace("[]", f"[{{registry: '{registry}'}}]"))

    assert spec.containers == (ContainerSpec(ref="registry.example.org/team/agent:2", registry=registry),)


def test_a_build_context_of_the_checkout_stays_relative(checkout: Path) -> None:
    spec = spec_of(checkout, CUSTOM.replace("[]", "[{ref: 'a.b/app:1', build: containers/app}]"))

    assert spec.containers[0].build == "containers/app"


@pytest.mark.parametrize(("text", "mib"), [("512MiB", 512), ("8GiB", 8192)])
def test_sizes_are_read_with_their_unit(checkout: Path, text: str, mib: int) -> None:
    assert spec_of(checkout, MINIMAL + f"disk: {{size: {text}}}\n").disk.size_mib == mib


# Variables and templates


def test_var_wins_over_the_specs_file_which_wins_over_the_common_one(checkout: Path) -> None:
    (checkout / "image-specs/variables/common.yaml").write_text(
        "name: common\nrelease: common\narch: amd64\n"
    )
    (checkout / "image-specs/variables/mine.yaml").write_text("name: special\nrelease: special\n")
    text = (
        "name: {{ name }}\ndistribution: debian\nrelease: {{ release }}\narch: {{ arch }}\ncontainers: []\n"
    )

    spec = spec_of(checkout, text, {"release": "given"})

    assert (spec.name, spec.release, spec.arch) == ("special", "given", Arch.amd64)


def test_missing_variables_are_all_reported_with_the_template_line(checkout: Path) -> None:
    text = MINIMAL + "{% if one %}\n{% endif %}\nmirror: {{ two }}\n{% include 'partials/part.yaml.j2' %}\n"

    found = problems(checkout, text, part="# first\npackages: [{{ three.deep }}]\n")

    assert [line.partition(" (")[0] for line in found] == [
        "mine.yaml.j2:5: variable 'one' is not set",
        "mine.yaml.j2:7: variable 'two' is not set",
        "partials/part.yaml.j2:2: variable 'three' is not set",
    ]
    assert "--var one=VALUE" in found[0]


def test_a_missing_variable_does_not_hide_the_other_problems(checkout: Path) -> None:
    found = problems(checkout, MINIMAL + "mirror: {{ where }}\nelments: []\n")

    assert found == [
        "mine.yaml.j2:5: variable 'where' is not set (give it: --var where=VALUE, or set it in "
        "variables/mine.yaml beside the spec)",
        "mine.yaml.j2:6: unknown key 'elments' (did you mean 'elements'?)",
    ]


def test_a_default_and_a_test_for_being_defined_miss_nothing(checkout: Path) -> None:
    text = (
        MINIMAL.replace("trixie", "{{ r | default('trixie') }}")
        + "{% if m is defined %}mirror: x{% endif %}\n"
    )

    assert spec_of(checkout, text).release == "trixie"


def test_a_missing_attribute_is_named(checkout: Path) -> None:
    (checkout / "image-specs/variables/mine.yaml").write_text("where: {url: http://x}\n")

    found = problems(checkout, MINIMAL + "mirror: {{ where.ulr }}\n")

    assert found == ["mine.yaml.j2:5: 'dict object' has no attribute 'ulr'"]


def test_a_variable_that_nothing_uses_is_refused(checkout: Path) -> None:
    found = problems(
        checkout, MINIMAL.replace("trixie", "{{ release }}"), {"release": "x", "our_release": "trixie"}
    )

    assert found == [
        "mine.yaml.j2: no template uses the given variable 'our_release' (did you mean 'release'?)"
    ]


def test_a_variable_used_only_in_a_branch_not_taken_is_accepted(checkout: Path) -> None:
    text = MINIMAL + "{% if false %}{% include 'partials/part.yaml.j2' %}{% endif %}\n"

    assert spec_of(checkout, text, {"here": "x"}, part="{{ here }}").name == "mine"


def test_a_number_in_a_variable_file_must_be_quoted(checkout: Path) -> None:
    (checkout / "image-specs/variables/mine.yaml").write_text("a: text\nversion: 24.10\nlist:\n  - no\n")

    assert problems(checkout, MINIMAL) == [
        'variables/mine.yaml:2: version must be text, got the number 24.10 (quote it: version: "24.10")',
        'variables/mine.yaml:4: list[0] must be text, got the boolean no (quote it: "no")',
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{% if x %}", "not a valid template: Unexpected end of template."),
        ("{{ 1 / 0 }}", "ZeroDivisionError: division by zero"),
        ("{% include 'partials/nowhere.j2' %}", "no template 'partials/nowhere.j2' beside the spec"),
        ("{{ 'a' + 1 }}", "TypeError"),
        (
            "{{ ''.__class__.mro() }}",
            "access to attribute '__class__' of 'str' object is unsafe.",
        ),
        ("{% include 'mine.yaml.j2' %}", "templates include each other without end"),
    ],
)
def test_a_template_that_fails_is_reported_with_its_line(checkout: Path, line: str, message: str) -> None:
    found = problems(checkout, MINIMAL + line + "\n")

    assert all(problem.startswith("mine.yaml.j2:5: ") for problem in found)
    assert message in found[0]


def test_a_syntax_error_in_a_partial_names_the_partial(checkout: Path) -> None:
    found = problems(checkout, MINIMAL + "{% include 'partials/part.yaml.j2' %}\n", part="#\n{{ 1 + }}\n")

    assert found[0].startswith("partials/part.yaml.j2:2: not a valid template")


# Lines


def test_lines_are_those_of_the_templates_whatever_jinja_makes_of_them(checkout: Path) -> None:
    text = (
        "{# a comment\n   of two lines #}\n"
        "{% set words = ['one', 'two'] %}\n"
        "packages:\n{% for word in words %}\n  - {{ word }}\n{% endfor %}\n"
        "{%- if true %}\n\nbad-one: 1\n{% endif %}\n"
        "{% include 'partials/part.yaml.j2' %}\n"
        "{% macro key(name) %}\n{{ name }}: 1\n{% endmacro %}\n"
        "{{ key('bad-three') }}\n"
        "bad-four: {{ 'x' }}\n" + MINIMAL
    )

    found = problems(checkout, text, part="\nbad-two: [\n  1]\n")

    assert [line.partition(" (")[0] for line in found] == [
        "mine.yaml.j2:10: unknown key 'bad-one'",
        "mine.yaml.j2:14: unknown key 'bad-three'",
        "mine.yaml.j2:17: unknown key 'bad-four'",
        "partials/part.yaml.j2:2: unknown key 'bad-two'",
    ]


def test_a_line_that_came_out_of_a_variable_is_that_of_its_expression(checkout: Path) -> None:
    found = problems(checkout, MINIMAL + "{{ more }}\nworst: 3\n", {"more": "bad: 1\nworse: 2"})

    assert [line.partition(" (")[0] for line in found] == [
        "mine.yaml.j2:5: unknown key 'bad'",
        "mine.yaml.j2:5: unknown key 'worse'",
        "mine.yaml.j2:6: unknown key 'worst'",
    ]


def test_without_a_map_of_lines_problems_name_the_rendered_line(checkout: Path) -> None:
    text = MINIMAL + "{% set block %}\nbad: 1\n{% endset %}\n# {{ block | length }} characters\n{{ block }}\n"

    assert problems(checkout, text)[0].startswith("mine.yaml.j2 (as rendered):6: unknown key 'bad'")


def test_broken_yaml_is_reported_with_its_line(checkout: Path) -> None:
    [found] = problems(checkout, MINIMAL + "disk: {size\n")

    assert found.startswith("mine.yaml.j2:5: not valid YAML: ")


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("release: 24.10", '5: release must be text, got the number 24.10 (quote it: release: "24.10")'),
        ("arch: x86_64", "5: arch must be one of amd64, arm64, got the text 'x86_64'"),
        ("embed: content-stor", "5: embed must be one of content-store, archive, unpacked, got the text "
         "'content-stor' (did you mean 'content-store'?)"),
        ("elements: [our-elemnt]", "5: no element 'our-elemnt' (did you mean 'our-element'?)"),
        ("elements: [vm, vm]", "5: elements lists 'vm' twice"),
        ("elements:", "5: elements must be a list, got nothing"),
        ("unattended-upgrades: 'yes'", "5: unattended-upgrades must be true or false, got the text 'yes' "
         "(write it without quotes)"),
        ("disk: {formats: [raw]}",
         "5: disk.formats must contain qcow2 (the verification boots it)"),
        ("disk: {formats: []}", "5: disk.formats must not be empty"),
        ("disk: {size: 8GB}", "5: disk.size must be a size such as 8GiB or 512MiB, got '8GB'"),
        ("disk: {size: 8}",
         "5: disk.size must be text, got the number 8 (write a size such as 8GiB or 512MiB)"),
        ("disk: {sizes: 8GiB}", "5: unknown key 'sizes' in disk (did you mean 'size'?)"),
        ("dib-env: {DIB_RELEASE: sid}",
         "5: dib-env.DIB_RELEASE is set by goldsmith itself (use the key 'release')"),
        ("dib-env: {X: 0755}", '5: dib-env.X must be text, got the number 0755 (quote it: X: "0755")'),
        ("dib-env:\n  A: b\n  'a b': c",
         "7: dib-env must be letters, digits and underscores, as a shell variable's "
         "name is, got 'a b'"),
        ("verify: {cpus: 0}", "5: verify.cpus must be at least 1, got 0"),
        ("verify: {boot-deadline: 1.5}",
         "5: verify.boot-deadline must be a whole number, got the number 1.5"),
        ("verify: {tests: [nowhere]}",
         "5: no folder 'nowhere' in the checkout (name a folder with test_*.py)"),
        ("verify: {tests: [containers/app]}", "5: no test_*.py in 'containers/app'"),
        ("cloud-init: {datasources: [OpenStack]}", "5: cloud-init.datasources must contain ConfigDrive "
         "(the verification boots with one, as OpenStack does)"),
        ("base-image: {url: 'https://x', sha256: abc}", "5: base-image.sha256 must be 64 hexadecimal digits "
         "in small letters, got 'abc'"),
        (f"base-image: {{url: 'https://x', sha256: {'b' * 64}, checksums: 'https://y'}}",
         "5: missing key 'keyring' in base-image"),
        ("kubelet: {version: '1.35.4'}",
         "5: a kubelet needs a container image named pause for the sandboxes of pods "
         "(add to containers: {ref: goldsmith.local/pause:1, build: containers/pause})"),
        ("kubelet: {source: release, version: '1.35.4'}", "5: missing key 'sha256' in kubelet"),
        ("kubelet: {version: 1.35}",
         '5: kubelet.version must be text, got the number 1.35 (quote it: version: "1.35")'),
        ("kubelet: {version: '1.35'}",
         "5: kubelet.version must have three parts here, got '1.35' (such as \"1.35.4\")"),
        ("kubelet: {version: v1.35.4}",
         "5: kubelet.version must be a version such as 1.35.4, without v, got 'v1.35.4'"),
        ("kubelet: {version: '1.35.4', url: 'https://x'}", "5: kubelet.url is only for source: release "
         "(write source: release, or remove it)"),
        ("publish: {clouds: [{name: a, canary: both}]}",
         "5: a canary server needs a flavor (add the key 'flavor')"),
        ("publish: {clouds: [{name: a}, {name: a}]}", "5: the cloud a is listed twice (remove one)"),
        ("publish: {share: [p1]}", "5: publish.share needs an image whose visibility is shared "
         "(set publish.visibility to shared)"),
        ("publish: {properties: {goldsmith_x: a}}", "5: publish.properties must be a name of a-z, 0-9 and "
         "_:.-, and none of ours, goldsmith_*, got 'goldsmith_x'"),
        ("publish: {properties: {hw_vif_model: E1000}}", "5: hw_vif_model: E1000 has no driver in an image "
         "for virtual hardware (write hardware: any)"),
        ("publish: {alias: 'a b'}", "5: publish.alias must be letters, digits, dots, - and _, got 'a b'"),
        ("publish: {keep: -1}", "5: publish.keep must be at least 0, got -1"),
        ("mirror: 'http://me:pw@mirror'",
         "5: mirror contains a login (remove it: the manifest and perhaps the image "
         "would contain it)"),
        ("release: 2026-13-45", "5: '2026-13-45' looks like a date or number but is neither "
         '(quote it: "2026-13-45")'),
        ("release: 2026-01-02",
         '5: release must be text, got the date 2026-01-02 (quote it: release: "2026-01-02")'),
        (f"elements: {'[' * 500}", "1: not valid YAML: nested too deeply"),
        ("on: x", '5: a key must be text, got on (quote it: "on":)'),
        ("a: &a [*a]", "5: not valid YAML: an alias refers to itself, or expands to too many nodes"),
        ("<<: {arch: arm64}",
         "5: merge keys (<<) are not supported (write the keys out, or include a partial)"),
    ],
)  # fmt: skip
def test_a_wrong_key_is_reported_with_its_line_and_a_hint(checkout: Path, text: str, message: str) -> None:
    key = text.partition(":")[0]
    rest = "".join(line for line in MINIMAL.splitlines(keepends=True) if not line.startswith(f"{key}:"))
    padding = "#\n" * (4 - rest.count("\n"))

    assert f"mine.yaml.j2:{message}" in problems(checkout, padding + rest + text + "\n")


@pytest.mark.parametrize("name", ["ADMIN_PASSWORD", "GITHUB_TOKEN", "client_secret", "API_KEY", "DIB_PASSWD"])
def test_a_variable_that_looks_like_a_secret_is_refused(checkout: Path, name: str) -> None:
    [found] = problems(checkout, MINIMAL + f"dib-env: {{{name}: x}}\n")

    assert f"dib-env.{name} looks like a secret" in found


def test_a_login_within_a_url_is_refused_without_showing_it(checkout: Path) -> None:
    [found] = problems(checkout, MINIMAL + "dib-env: {PROXY: 'http://me:hunter2@proxy'}\n")

    assert "dib-env.PROXY looks like a secret" in found
    assert "hunter2" not in found


@pytest.mark.parametrize(
    ("variable", "why"),
    [
        (name, "would change which programs the build runs")
        for name in (
            "LD_PRELOAD", "PATH", "BASH_ENV", "ENV", "PYTHONPATH", "PERL5OPT", "APT_CONFIG", "HOME",
            "TARGET_ROOT", "DIB_PYTHON_EXEC", "DIB_DEBIAN_DEBOOTSTRAP_SCRIPT", "DIB_GZIP_BIN",
            "DIB_MMDEBSTRAP_EXTRA_ARGS: --setup-hook=x", "DIB_DEBIAN_COMPONENTS: main $(id)", "DIB_X: '`id`'",
        )
    ] + [
        (f"{name}: {value}", "would switch a verification off")
        for name, value in {
            "DIB_DEBOOTSTRAP_EXTRA_ARGS": "--no-check-gpg",
            "DIB_MMDEBSTRAP_EXTRA_ARGS": "'--aptopt=APT::Get::AllowUnauthenticated 1'",
            "DIB_APT_SOURCES": "deb [trusted=yes] http://x y main",
            "MY_YUM_OPTIONS": "gpgcheck=0",
            "MY_DNF_OPTIONS": "sslverify=0",
            "DIB_DEBIAN_OPTIONS": "--skip=check/signed-by",
            "MY_SOURCES": "deb [trusted=true] http://x y main",
            "MY_APT_OPTIONS": "'Acquire::https::Verify-Peer false'",
            "DIB_DISTRIBUTION_MIRROR_VERIFY_HTTPS": "'0'",
            "DIB_DISTRIBUTION_MIRROR_UBUNTU_INSECURE": "'1'",
        }.items()
    ],
)  # fmt: skip
def test_a_variable_that_loads_code_or_switches_verification_off_is_refused(
    checkout: Path, variable: str, why: str
) -> None:
    name, _, value = variable.partition(": ")

    [found] = problems(checkout, MINIMAL + f"dib-env:\n  {name}: {value or 'x'}\n")

    assert f"dib-env.{name} {why}" in found


@pytest.mark.parametrize(
    "name", ["MY_PATH", "MYENV", "GIT_BASE", "http_proxy", "DIB_PYTHON_VERSION", "HOMEPAGE"]
)
def test_a_variable_with_a_similar_name_is_taken(checkout: Path, name: str) -> None:
    verified = MINIMAL + "dib-env: {DIB_DISTRIBUTION_MIRROR_VERIFY_HTTPS: '1'}\n"
    assert spec_of(checkout, verified).dib_env
    assert spec_of(checkout, MINIMAL + f"dib-env: {{{name}: /x}}\n").dib_env == {name: "/x"}


def test_every_variable_that_the_build_sets_is_refused(checkout: Path) -> None:
    of_elements = {f"{prefix}ANYTHING" for prefix in checks.RESERVED_PREFIXES}
    names = sorted({*checks.RESERVED, *of_elements})

    found = problems(checkout, MINIMAL + "dib-env:\n" + "".join(f"  {name}: x\n" for name in names))

    assert [line.split()[1] for line in found] == [f"dib-env.{name}" for name in names]
    assert all("is set by goldsmith itself" in line for line in found)


def test_a_duplicate_key_is_refused(checkout: Path) -> None:
    found = problems(checkout, MINIMAL + "arch: amd64\narch: arm64\n")

    assert found == ["mine.yaml.j2:6: duplicate key 'arch' (first in image-specs/mine.yaml.j2:5)"]


def test_missing_keys_are_all_named(checkout: Path) -> None:
    assert [line.partition(": ")[2] for line in problems(checkout, "arch: amd64\n")] == [
        "missing key 'name'",
        "missing key 'distribution'",
        "missing key 'release'",
        "missing key 'containers'",
    ]


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n- b\n", "text\n"])
def test_a_spec_that_is_no_mapping_is_refused(checkout: Path, text: str) -> None:
    [found] = problems(checkout, text)

    assert "the file must be a mapping" in found


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("{ref: nginx}", "containers[0].ref must be a whole name with registry and tag, such as "
         "docker.io/library/nginx:1.29, got 'nginx'"),
        ("{ref: 'a.b/x:1', build: containers/none}", "no folder 'containers/none' in the checkout "
         "(did you mean 'containers/app'?)"),
        ("{ref: 'a.b/x:1', build: elements}", "no Dockerfile in 'elements'"),
        ("{registry: 'a.b/x:1'}", "containers[0].registry must be a whole name with a digest: "
         "REGISTRY/NAME[:TAG]@sha256:DIGEST, got 'a.b/x:1'"),
        (f"{{registry: 'a.b/x@sha256:{DIGEST}'}}", "containers[0] has no tag by which pods could name it "
         "(add a tag before the digest, or ref: a.b/x:TAG)"),
        (f"{{ref: 'a.b/x:1', build: containers/app, registry: 'a.b/x:1@sha256:{DIGEST}'}}",
         "containers[0] has both 'build' and 'registry' (keep one of them)"),
        ("{build: containers/app}", "containers[0]: a container needs the key 'ref' or the key 'registry'"),
        ("{ref: 'a.b/x:1', into: podman}", "containers[0].into must be one of containerd, docker, "
         "got the text 'podman'"),
        ("{ref: 'a.b/x:1'}, {ref: 'a.b/x:1'}",
         "container 'a.b/x:1' is listed twice (first in containers[0])"),
        ("text", "containers[0] must be a mapping of keys to values, got the text 'text'"),
    ],
)  # fmt: skip
def test_a_wrong_container_is_refused(checkout: Path, item: str, message: str) -> None:
    found = problems(checkout, CUSTOM.replace("[]", f"[{item}]"))

    assert found == [f"mine.yaml.j2:4: {message}"]


@pytest.mark.parametrize(
    "ref", ["docker.io/library/nginx:1", "localhost/x:1", "host:5000/a/b:v1", "a.b:80/c:1"]
)
def test_a_whole_reference_is_accepted(checkout: Path, ref: str) -> None:
    assert spec_of(checkout, CUSTOM.replace("[]", f"[{{ref: '{ref}'}}]")).containers[0].ref == ref


@pytest.mark.parametrize(
    ("distribution", "rest", "message"),
    [
        ("debian\nrelease: '13'", "", "release must be Debian's code name, got '13' (write trixie)"),
        ("fedora\nrelease: '44'", "", "fedora needs the key 'base-image' to start from"),
        ("fedora\nrelease: rawhide", "", "release must be Fedora's number in quotes, got 'rawhide'"),
        ("custom\nrelease: x", "", "a custom distribution needs elements that install an operating system"),
        ("debian\nrelease: trixie", f"base-image: {{url: 'https://x', sha256: {'b' * 64}}}",
         "debian is built from its packages, not from a base-image"),
    ],
)  # fmt: skip
def test_a_distribution_gets_what_it_needs(
    checkout: Path, distribution: str, rest: str, message: str
) -> None:
    found = problems(checkout, f"name: mine\ncontainers: []\ndistribution: {distribution}\n{rest}\n")

    assert any(message in line for line in found)


def test_a_package_kubelet_may_name_a_minor_version(checkout: Path) -> None:
    spec = spec_of(checkout, KUBELET.replace("'1.35.4'", "'1.35', source: package"))

    assert spec.kubelet is not None
    assert spec.kubelet.version == "1.35"


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        ("{apiVersion: apps/v1, kind: Deployment}", "verify.pods[0] is no pod manifest"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: p}}", "verify.pods[0] has no spec.containers"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: P_1}, spec: {containers: [{image: 'a.b/app:1'}]}}",
         "metadata.name must consist of lower-case letters"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{image: 'a.b/ap:1'}]}}",
         "image 'a.b/ap:1' is not in the spec's containers (did you mean 'a.b/app:1'?)"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{image: 'a.b/app:1'}], "
         "initContainers: [{image: 'a.b/none:1'}]}}", "image 'a.b/none:1' is not in"),
        ("{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: x}]}}",
         "must name an image"),
    ],
)  # fmt: skip
def test_a_wrong_pod_is_refused(checkout: Path, pod: str, message: str) -> None:
    [found] = problems(checkout, KUBELET + f"verify: {{pods: [{pod}]}}\n")

    assert found.startswith("mine.yaml.j2:6: ")
    assert message in found


def test_two_pods_may_have_one_name_in_two_namespaces(checkout: Path) -> None:
    def pods(namespace: str) -> str:
        spec = "spec: {containers: [{name: a, image: 'a.b/app:1'}]}"
        one, other = (
            f"{{apiVersion: v1, kind: Pod, metadata: {{name: p, namespace: {n}}}, {spec}}}"
            for n in ("default", namespace)
        )
        return KUBELET + f"verify: {{pods: [{one}, {other}]}}\n"

    assert len(spec_of(checkout, pods("other")).verify.pods) == 2
    [found] = problems(checkout, pods("default"))
    assert "pod 'p' is listed twice in the namespace default" in found


def test_a_pod_cannot_use_an_image_that_goes_into_docker(checkout: Path) -> None:
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{image: 'a.b/app:1'}]}}"
    text = KUBELET.replace("'a.b/app:1'}", "'a.b/app:1', into: docker}") + f"verify: {{pods: [{pod}]}}\n"

    [found] = problems(checkout, text)

    assert "image 'a.b/app:1' has into: docker" in found


def test_pods_need_a_kubelet(checkout: Path) -> None:
    pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{image: 'a.b/app:1'}]}}"
    text = KUBELET.replace("kubelet: {version: '1.35.4'}", "kubelet: null") + f"verify: {{pods: [{pod}]}}\n"

    assert any("pods need a kubelet" in line for line in problems(checkout, text))


# Which spec


def test_an_unknown_name_gets_a_suggestion(checkout: Path) -> None:
    write(checkout, MINIMAL)

    with pytest.raises(SpecError, match="no spec 'mien'") as e:
        load.load("mien", root=checkout)

    assert e.value.hint == "did you mean 'mine'?"


def test_containers_need_a_kubelet(checkout: Path) -> None:
    found = problems(checkout, MINIMAL.replace("[]", "[{ref: 'a.b/x:1', into: docker}]"))

    said = "container images need a kubelet (add the key 'kubelet')"
    assert found == [f"mine.yaml.j2:4: {said}"]


def test_the_sandbox_of_pods_must_be_where_the_kubelet_looks(checkout: Path) -> None:
    found = problems(checkout, KUBELET.replace("{ref: 'a.b/pause:1'}", "{ref: 'a.b/pause:1', into: docker}"))

    assert len(found) == 1
    assert "needs a container image named pause" in found[0]


def test_a_folder_that_a_spec_elsewhere_names_is_looked_for_beside_it_too(
    checkout: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "site/site.yaml.j2"
    (spec.parent / "images/web").mkdir(parents=True)
    (spec.parent / "images/web/Dockerfile").touch()
    spec.write_text(KUBELET.replace("{ref: 'a.b/app:1'}", "{ref: 'a.b/app:1', build: image/web}"))

    with pytest.raises(SpecError) as e:
        load.load(str(spec), root=checkout)

    assert str(e.value).endswith(
        f"no folder 'image/web' in {tmp_path}/site nor in the checkout (did you mean 'images/web'?)"
    )


def test_a_spec_elsewhere_uses_elements_variables_and_contexts_beside_it(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    own = tmp_path_factory.mktemp("my specs")
    (own / "elements/theirs").mkdir(parents=True)
    (own / "variables").mkdir()
    (own / "variables/site.yaml").write_text("release: trixie\n")
    (own / "app").mkdir()
    (own / "app/Dockerfile").write_text("FROM scratch\n")
    write(checkout, MINIMAL, shared="arch: amd64\n")
    (own / "site.yaml.j2").write_text(
        "name: site\ndistribution: custom\nrelease: {{ release }}\nelements: [theirs, our-element]\n"
        "{% include 'partials/shared.yaml.j2' %}\n"
        "containers: [{ref: 'a.b/one:1', build: app}, {ref: 'a.b/two:1', build: containers/app}]\n"
    )

    loaded = load.load(str(own / "site.yaml.j2"), root=checkout)

    assert [container.build for container in loaded.spec.containers] == [str(own / "app"), "containers/app"]
    assert loaded.elements == (own / "elements", checkout / "elements")
    assert loaded.path == own / "site.yaml.j2"


def test_a_file_of_the_users_own_must_be_called_a_spec(checkout: Path) -> None:
    with pytest.raises(SpecError, match=r"must end in \.yaml\.j2"):
        load.load("./mine.yaml", root=checkout)


def test_a_file_that_is_not_text_is_refused(checkout: Path) -> None:
    (checkout / "image-specs/mine.yaml.j2").write_bytes(b"name: \xff\n")

    with pytest.raises(SpecError, match="is not UTF-8 text"):
        load.load("mine", root=checkout)


def test_the_module_is_imported_without_the_schema_library() -> None:
    code = "import sys, goldsmith.spec.load; sys.exit('jsonschema' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_spec_behind_a_closed_folder_is_an_error_of_the_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_file", closed)

    with pytest.raises(SpecError, match=r"cannot read .*mine\.yaml\.j2: Permission denied"):
        load.load("/closed/mine.yaml.j2", {})


# Where goldsmith is installed


def test_specs_of_the_current_folder_come_before_those_that_are_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = installed.pretend(tmp_path, monkeypatch)
    shipped = load.load("debian-kubelet")
    (site / "image-specs").mkdir()
    (site / "image-specs/debian-kubelet.yaml.j2").write_text(MINIMAL)
    (site / "image-specs/mine.yaml.j2").write_text(MINIMAL)

    assert shipped.path == paths.shipped("image-specs/debian-kubelet.yaml.j2")
    assert {c.build for c in shipped.spec.containers} >= {str(paths.shipped("containers/pause"))}
    assert load.load("debian-kubelet").path == site / "image-specs/debian-kubelet.yaml.j2"
    assert load.names() == ["debian-heat-full", "debian-kubelet", "fedora-kubelet", "mine"]


def test_all_that_a_spec_names_is_looked_for_in_the_current_folder_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = installed.pretend(tmp_path, monkeypatch)
    (site / "image-specs").mkdir()
    write(site, KUBELET.replace("'a.b/app:1'}", "'a.b/app:1', build: containers/nginx}"))
    (site / "containers/nginx").mkdir(parents=True)
    (site / "containers/nginx/Dockerfile").touch()
    (site / "elements").mkdir()

    loaded = load.load("mine")

    assert [container.build for container in loaded.spec.containers] == [None, "containers/nginx"]
    assert loaded.elements == (site / "elements", paths.shipped("elements"))


def test_a_message_names_both_places_where_a_spec_or_a_folder_may_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = installed.pretend(tmp_path, monkeypatch)
    (site / "image-specs").mkdir()

    with pytest.raises(SpecError) as no_spec:
        load.load("mine")
    write(site, KUBELET.replace("'a.b/app:1'}", "'a.b/app:1', build: containers/app}"))
    with pytest.raises(SpecError) as no_folder:
        load.load("mine")

    assert f"image-specs/mine.yaml.j2 nor {paths.shipped()}/image-specs/mine.yaml.j2" in str(no_spec.value)
    assert f"in {site} nor among the files that come with goldsmith" in str(no_folder.value)


def test_the_folder_above_image_specs_is_searched_wherever_the_spec_is(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    site = tmp_path_factory.mktemp("site")
    for folder in ("image-specs", "elements/theirs", "containers/app"):
        (site / folder).mkdir(parents=True)
    (site / "containers/app/Dockerfile").touch()
    text = CUSTOM.replace("our-element", "theirs").replace("containers: []", "containers: [{IT}]")
    text = text.replace("{IT}", "{ref: 'a.b/app:1', build: containers/app, into: docker}")
    write(site, text)

    loaded = load.load(str(site / "image-specs/mine.yaml.j2"), root=checkout)

    assert loaded.elements == (site / "elements", checkout / "elements")
    assert [container.build for container in loaded.spec.containers] == [str(site / "containers/app")]
