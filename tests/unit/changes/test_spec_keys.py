# SPDX-License-Identifier: Apache-2.0
"""Keys of rendered specs."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from goldsmith.changes import spec_keys
from goldsmith.spec import load, secret_words

HIDDEN = re.compile(r"\(hidden [0-9a-f]{4}\)")
ONE = """
# a comment
release: "13"
dib-env: {DIB_X: "1", DIB_EMPTY: "", DIB_LINES: "a\\nb"}
disk: {size-mib: 4096, formats: [qcow2, raw]}
cloud-init:
  datasources: [ConfigDrive, OpenStack]
unattended-upgrades: true
packages: [vim, strace]
containers:
  - ref: a.test/web:1
    build: containers/web
  - ref: a.test/db:1
verify:
  pods:
    - metadata: {name: web}
      spec: {initContainers: [{name: one, image: "x"}, {name: two, image: "y"}]}
    - metadata: {name: db}
"""


def keys(text: str) -> dict[str, str]:
    found = spec_keys.of_text(text)
    assert found is not None
    return found


def test_every_key_has_its_value() -> None:
    assert keys(ONE) == {
        "cloud-init.datasources": "ConfigDrive, OpenStack",
        "containers[a.test/db:1]": "a.test/db:1",
        "containers[a.test/web:1]": "a.test/web:1",
        "containers[a.test/web:1].build": "containers/web",
        "dib-env.DIB_EMPTY": '""',
        "dib-env.DIB_LINES": '"a\\nb"',
        "dib-env.DIB_X": "1",
        "disk.formats": "qcow2, raw",
        "disk.size-mib": "4096",
        "packages[strace]": "strace",
        "packages[vim]": "vim",
        "release": "13",
        "unattended-upgrades": "true",
        "verify.pods[db]": "db",
        "verify.pods[db].metadata.name": "db",
        "verify.pods[web]": "web",
        "verify.pods[web].metadata.name": "web",
        "verify.pods[web].spec.initContainers (order)": "one, two",
        "verify.pods[web].spec.initContainers[one]": "one",
        "verify.pods[web].spec.initContainers[one].image": "x",
        "verify.pods[web].spec.initContainers[two]": "two",
        "verify.pods[web].spec.initContainers[two].image": "y",
    }


@pytest.mark.parametrize("name", ["debian-kubelet", "debian-heat-full"])
def test_keys_of_a_shipped_spec_are_those_of_its_text_in_another_order(name: str) -> None:
    lines = load.load(name).rendered.splitlines()
    text = "\n".join(lines)
    pods = text.index("\nverify:")

    assert keys(text) == keys(text[pods:] + "\n# a comment" + "\n" + text[:pods])
    assert all("(hidden" not in value or ".spec." in key for key, value in keys(text).items())


def test_the_order_of_containers_and_pods_does_not_count() -> None:
    one = """
containers: [{ref: a}, {ref: b, build: x}]
verify: {pods: [{metadata: {name: p}}, {metadata: {name: q}}]}
"""
    other = """
verify: {pods: [{metadata: {name: q}}, {metadata: {name: p}}]}
containers: [{build: x, ref: b}, {ref: a}]
"""

    assert keys(one) == keys(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("cloud-init: {datasources: [A, B]}", "cloud-init: {datasources: [B, A]}"),
        ("verify: {pods: [{args: [a, b]}]}", "verify: {pods: [{args: [b, a]}]}"),
        ("a: [{name: x}, {name: x, b: 1}]", "a: [{name: x, b: 1}, {name: x}]"),
        ("packages: []", "{}"), ("dib-env: {A: 'yes'}", "dib-env: {A: yes}"), ("a: 'null'", "a: ''"),
    ],
)  # fmt: skip
def test_what_counts(one: str, other: str) -> None:
    assert keys(one) != keys(other)


def test_an_order_counts_where_the_entries_are_the_same() -> None:
    assert spec_keys.only_order("a (order)", "x, y", "y, x")
    assert not spec_keys.only_order("a (order)", "x, y", "x, y, z")
    assert not spec_keys.only_order("a (order)", None, "x")
    assert spec_keys.only_order("a", None, "x")


@pytest.mark.parametrize(
    "text",
    [
        "verify: {pods: [{spec: {containers: [{name: c, env: [{name: DB_PASSWORD, value: hunter2}]}]}}]}",
        "verify: {pods: [{spec: {containers: [{name: c, args: [--password, hunter2]}]}}]}",
        "verify: {pods: [{spec: {containers: [{name: c, args: [--db-token=hunter2]}]}}]}",
        "verify: {pods: [{spec: {containers: [{name: c, command: [sh, -c, 'x --secret hunter2']}]}}]}",
        "verify: {pods: [{spec: {x: '{\"password\": \"hunter2\"}'}}]}",
        "publish: {properties: {api_key: hunter2}}",
        "mirror: http://me:hunter2@mirror.test/debian",
        "mirror: https://hunter2@mirror.test/debian", "kubelet: {url: 'https://x.test/?auth=hunter2'}",
        "verify: {pods: [{spec: {containers: [{name: c, env: [{name: PGPWD, value: hunter2}]}]}}]}",
        "verify: {pods: [{spec: {containers: [{name: c, env: [{name: A, value: hunter2}]}]}}]}",
        "verify: {pods: [{spec: {containers: [{name: c, command: [mysql, -phunter2]}]}}]}",
        "verify: {pods: [{spec: {initContainers: [{name: c, args: [hunter2]}]}}]}",
        "verify: {pods: [{spec: {containers: [{livenessProbe: {exec: {command: [login, hunter2]}}}]}}]}",
        "verify: {pods: [{spec: {containers: [{env: [{name: A}, {name: A, value: hunter2}]}]}}]}",
        "verify: {pods: [{metadata: {name: p, annotations: {pull-dsn: hunter2}}}]}",
        "dib-env: {DB_PASS: hunter2}", "dib-env: {DB_PW: hunter2}", "dib-env: {SSH_KEYS: hunter2}",
        "dib-env: {X_OPTIONS: 'mysql -phunter2'}", "dib-env: {X: 'curl -u me:hunter2 http://x.test'}",
        "dib-env: {X: 'PGPASS=hunter2 x'}", "publish: {tags: ['auth=hunter2']}",
        "publish: {properties: {credentials: {user: me, text: hunter2}}}",
        "a: [{name: DB_PASS, value: x}, {name: DB_PASS, value: hunter2}]",
        'x: "-----BEGIN RSA PRIVATE KEY-----\\nhunter2"', "a: [x, 'AKIAIOSFODNN7EXAMPLE hunter2']",
    ],
)  # fmt: skip
def test_secrets_are_hidden(text: str) -> None:
    found = keys(text)

    assert "hunter2" not in str(found)
    assert [key for key, value in found.items() if HIDDEN.search(value)]


def test_a_hidden_value_that_changed_has_another_digest() -> None:
    text = "dib-env: {{DB_PASS: '{}', DB_PWD: '1'}}"

    one, other = keys(text.format(1)), keys(text.format(2))

    assert keys(text.format(1)) == one
    assert one["dib-env.DB_PASS"] != other["dib-env.DB_PASS"]
    assert one["dib-env.DB_PASS"] != one["dib-env.DB_PWD"]
    assert HIDDEN.fullmatch(one["dib-env.DB_PASS"])


def test_a_login_is_hidden_and_the_rest_of_the_address_is_not() -> None:
    found = keys("mirror: http://me:hunter2@mirror.test/debian")["mirror"]

    assert HIDDEN.sub("(hidden)", found) == "http://(hidden)@mirror.test/debian"


@pytest.mark.parametrize("unit", ["a", "token", "-token ", "token,", "a_"])
def test_words_of_secrets_are_found_in_linear_time(unit: str) -> None:
    text = unit * (200_000 // len(unit)) + "."
    start = time.process_time()

    spec_keys._is_assigned(text)
    secret_words.LOGIN_IN_URL.sub("", f"://{':a' * 100_000}")

    assert time.process_time() - start < 1


def test_words_of_secrets_in_names_hide_no_settings() -> None:
    text = """
        {a: {automountServiceAccountToken: false, image: 'a/token:1'},
        containers: [{ref: b/keycloak:1, build: x}], packages: [keyutils], base-image: {keyring: debian.gpg},
        verify: {allow-secrets: [{path: /x, reason: y}]}}
    """

    assert "(hidden" not in str(keys(text))


@pytest.mark.parametrize("data", [b"a: [", b"- a", b"", b"\xff\xfe", b"a: &a [*a]"])
def test_a_file_that_is_no_spec_has_no_keys(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "spec.yaml").write_bytes(data)

    assert spec_keys.of_build(tmp_path) is None
    assert spec_keys.of_build(tmp_path / "nothing") is None
