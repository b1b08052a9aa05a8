# SPDX-License-Identifier: Apache-2.0
"""AWS::CloudFormation::Init applied: files and commands for real, the system's own programs as fakes."""

from __future__ import annotations

import base64
import grp
import http.server
import io
import json
import os
import pwd
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from heat_config import cfninit, cfnmetadata

MINE = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
Init = Callable[..., int]


@pytest.fixture
def init(tmp_path: Path) -> Init:
    """init(METADATA, WORDS): cfn-init's status with what stands under its key."""

    def call(metadata: object, *words: str) -> int:
        path = tmp_path / "cfn-init-data"
        path.write_text(json.dumps({cfnmetadata.KEY: metadata}))
        return cfninit.main(["--file", str(path), *words])

    return call


@pytest.fixture
def web() -> Iterator[Callable[[bytes], str]]:
    """web(BYTES): a URL that answers with them."""
    content = b""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_words: object) -> None:
            pass

    def serve(data: bytes) -> str:
        nonlocal content
        content = data
        return f"http://127.0.0.1:{server.server_address[1]}/thing"

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield serve
        server.shutdown()


def config(**sections: Any) -> dict[str, Any]:
    return {"config": sections}


def test_files_have_their_content_and_mode(init: Init, tmp_path: Path, web: Callable[[bytes], str]) -> None:
    files = {
        f"{tmp_path}/new/text": {"content": "hello\n", "mode": "000640", **MINE},
        f"{tmp_path}/structure": {"content": {"a": [1]}, **MINE},
        f"{tmp_path}/bytes": {"content": base64.b64encode(b"\0\1").decode(), "encoding": "base64", **MINE},
        f"{tmp_path}/fetched": {"source": web(b"from there"), **MINE},
        f"{tmp_path}/link": {"content": "new/text", "mode": "120644"},
    }

    assert init(config(files=files)) == 0
    assert (tmp_path / "new/text").read_text() == "hello\n"
    assert (tmp_path / "new/text").stat().st_mode & 0o7777 == 0o640
    assert (tmp_path / "structure").stat().st_mode & 0o7777 == 0o644
    assert json.loads((tmp_path / "structure").read_text()) == {"a": [1]}
    assert (tmp_path / "bytes").read_bytes() == b"\0\1"
    assert (tmp_path / "fetched").read_text() == "from there"
    assert (tmp_path / "link").read_text() == "hello\n"


def test_a_file_that_is_as_it_should_be_is_not_written_again(
    init: Init, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = config(
        files={
            f"{tmp_path}/a": {"content": "x", "mode": "000644", **MINE},
            f"{tmp_path}/b": {"content": "a", "mode": "120644"},
        }
    )  # fmt: skip
    init(wanted)
    inode = (tmp_path / "a").stat().st_ino
    (tmp_path / "a").chmod(0o600)
    capsys.readouterr()

    assert init(wanted) == 0
    assert ((tmp_path / "a").stat().st_ino, (tmp_path / "a").stat().st_mode & 0o777) == (inode, 0o644)
    assert "written" not in capsys.readouterr().out


def test_a_file_that_cannot_be_as_it_should_leaves_the_old_one_and_nothing_else(
    init: Init, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there/a").write_text("old")

    assert init(config(files={f"{tmp_path}/there/a": {"content": "new", "owner": "no such user"}})) == 1
    assert "no such user" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in (tmp_path / "there").iterdir()] == [("a", "old")]


def test_commands_run_in_the_order_of_their_names(
    init: Init, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    commands = {
        "02": {"command": ["sh", "-c", "echo $WHO; pwd"], "env": {"WHO": "me"}, "cwd": str(tmp_path)},
        "01": {"command": "echo first"},
        "03": {"command": "echo never", "test": "exit 1"},
        "04": {"command": "echo tested", "test": "exit 0"},
        "05": {"command": "exit 3", "ignoreErrors": "true"},
    }

    assert init(config(commands=commands)) == 0
    said = [line for line in capfd.readouterr().out.splitlines() if not line.startswith("cfn-init")]
    assert said == ["first", "me", str(tmp_path), "tested"]


def test_a_command_that_fails_ends_it_and_is_named(
    init: Init, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    commands = {"1": {"command": "exit 3"}, "2": {"command": f"touch {tmp_path}/second"}}

    assert init(config(commands=commands)) == 1
    assert "command 1: /bin/sh ended with status 3" in capfd.readouterr().err
    assert not (tmp_path / "second").exists()


def test_packages_that_are_there_are_not_asked_for(init: Init, fake: Callable[..., Path]) -> None:
    fake("dpkg-query", 'case "$*" in *here) printf installed ;; *) exit 1 ;; esac')
    apt = fake("apt-get")

    assert init(config(packages={"apt": {"here": [], "new": [], "old": ["1.2"]}})) == 0
    assert apt.read_text().splitlines() == ["-q update", "-q -y install old=1.2 new"]

    apt.write_text("")
    assert init(config(packages={"apt": {"here": []}})) == 0
    assert apt.read_text() == ""


def test_groups_and_users_that_are_missing_are_made(init: Init, fake: Callable[..., Path]) -> None:
    fake("getent", 'case "$2" in there) ;; *) exit 2 ;; esac')
    groups, users = fake("groupadd"), fake("useradd")

    status = init(
        config(
            groups={"there": {}, "web": {"gid": "45"}},
            users={"there": {}, "www": {"uid": 50, "groups": ["web"], "homeDir": "/srv/www"}},
        )
    )

    assert status == 0
    assert groups.read_text().splitlines() == ["--gid 45 web"]
    assert users.read_text().splitlines() == [
        "--shell /usr/sbin/nologin --uid 50 --groups web --create-home --home-dir /srv/www www"
    ]


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_sources_are_unpacked(init: Init, tmp_path: Path, web: Callable[[bytes], str], kind: str) -> None:
    packed = io.BytesIO()
    if kind == "tar":
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            member = tarfile.TarInfo("a/b")
            member.size = 4
            tar.addfile(member, io.BytesIO(b"text"))
    else:
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("a/b", "text")

    assert init(config(sources={f"{tmp_path}/there": web(packed.getvalue())})) == 0
    assert (tmp_path / "there/a/b").read_text() == "text"


def test_what_is_no_archive_is_said(
    init: Init, tmp_path: Path, web: Callable[[bytes], str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(config(sources={f"{tmp_path}/there": web(b"text")})) == 1
    assert "neither a tar nor a zip archive" in capsys.readouterr().err


def test_a_service_is_restarted_when_its_file_was_changed(
    init: Init, tmp_path: Path, fake: Callable[..., Path]
) -> None:
    calls = fake("systemctl")
    service = {"enabled": True, "ensureRunning": "true", "files": [f"{tmp_path}/a"]}
    wanted = config(
        files={f"{tmp_path}/a": {"content": "x", **MINE}},
        services={"systemd": {"web": service, "old": {"enabled": "false", "ensureRunning": False}}},
    )

    init(wanted)
    init(wanted)

    off = ["disable old", "stop old"]
    assert calls.read_text().splitlines() == [
        *("enable web", "restart web"), *off, *("enable web", "start web"), *off,
    ]  # fmt: skip


SETS = {
    "configSets": {"default": ["a", {"ConfigSet": "more"}], "more": ["b"], "loop": [{"ConfigSet": "loop"}]},
    "a": {"commands": {"1": {"command": "echo in-a"}}},
    "b": {"commands": {"1": {"command": "echo in-b"}}},
}


@pytest.mark.parametrize(
    ("words", "said"),
    [((), ["in-a", "in-b"]), (("-c", "more"), ["in-b"]), (("-c", "more,more"), ["in-b"] * 2)],
)
def test_config_sets_are_followed(
    init: Init, capfd: pytest.CaptureFixture[str], words: tuple[str, ...], said: list[str]
) -> None:
    assert init(SETS, *words) == 0
    assert [line for line in capfd.readouterr().out.splitlines() if line.startswith("in-")] == said


FIRST = {"commands": {"1": {"command": "touch TOUCHED"}}}


def with_first(section: str, entry: dict[str, Any]) -> dict[str, Any]:
    return config(**{**FIRST, section: {**FIRST.get(section, {}), "x": entry}})


@pytest.mark.parametrize(
    ("metadata", "words", "reason"),
    [
        (config(**FIRST, packages={"yum": {"httpd": []}}), (), "config: packages: 'yum' is not known here"),
        (config(**FIRST, file={}), (), "config: 'file' is not known here"),
        (config(files={"/a": {"content": "x", "context": {}}}), (), "files: /a: 'context' is not known here"),
        (config(files={"/a": {"mode": "000644"}}), (), "needs either content or source"),
        (config(files={"/a": {"content": "x", "encoding": "gzip"}}), (), "plain or base64, not 'gzip'"),
        (config(commands={"1": {"test": "true"}}), (), "commands: 1: there is no command"),
        (config(services={"systemd": {"x": ["a"]}}), (), "services: x: a mapping is needed"),
        *(
            (with_first(section, {**least, key: value}), (), f"{section}: x: {key}: ")
            for section, least, key, value in [
                ("commands", {"command": "true"}, "env", []),
                ("commands", {"command": "true"}, "env", "A=b"),
                ("commands", {"command": "true"}, "env", {"A": {}}),
                ("commands", {"command": "true"}, "cwd", 5),
                ("commands", {"command": "true"}, "test", {}),
                ("commands", {}, "command", {"a": "b"}),
                ("commands", {}, "command", ["a", ["b"]]),
                ("files", {"content": ""}, "mode", "rw"),
                ("files", {"content": ""}, "owner", ["root"]),
                ("files", {}, "source", ["http://x.test"]),
                ("files", {"content": ""}, "encoding", []),
                ("users", {}, "groups", "wheel"),
                ("users", {}, "homeDir", 3),
                ("groups", {}, "gid", [1]),
            ]
        ),
        (config(**FIRST, services={"systemd": {"x": {"files": "/a"}}}), (), "services: x: files: a list"),
        (config(**FIRST, services={"systemd": {"x": {"packages": ["a"]}}}), (), "x: packages: a mapping of"),
        (config(**FIRST, services={"systemd": {"x": {"enabled": []}}}), (), "services: x: enabled: text or"),
        (config(**FIRST, packages={"apt": {"vim": {"a": 1}}}), (), "packages: vim: a list of versions"),
        (config(**FIRST, sources={"/a": None}), (), "sources: /a: text is needed, not null"),
        ({"config": ["x"]}, (), "config: a mapping is needed"),
        ({}, (), "there is no config 'config'"),
        ("{no json", (), "no JSON"),
        (config(**FIRST), ("-c", "other"), "there are no configSets, but other is asked for"),
        (SETS, ("-c", "none"), "there is no configSet 'none'"),
        (SETS, ("-c", "loop"), "the configSet 'loop' has itself for a member"),
    ],
)
def test_what_is_not_known_is_refused_before_anything_is_changed(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    metadata: object, words: tuple[str, ...], reason: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)

    assert init(metadata, *words) == 2
    assert f"{reason}" in (said := capsys.readouterr().err)
    assert "nothing was changed" in said
    assert not (tmp_path / "TOUCHED").exists()


def test_a_key_that_is_null_is_as_if_not_there(init: Init, tmp_path: Path, fake: Callable[..., Path]) -> None:
    calls = fake("systemctl", "exit 0")
    no_command = {"env": None, "cwd": None, "test": None, "ignoreErrors": None}
    no_file = {"source": None, "encoding": None, "owner": None, "group": None, "mode": None}
    service = {"ensureRunning": "true", "enabled": None, "files": None, "packages": None, "commands": None}

    status = init(config(
        files={str(tmp_path / "a"): {**no_file, "content": "x", **MINE}},
        commands={"1": {**no_command, "command": f"touch {tmp_path}/b"}},
        services={"systemd": {"x": service}},
    ))  # fmt: skip

    assert status == 0
    assert (tmp_path / "a").read_text() == "x"
    assert (tmp_path / "b").exists()
    assert calls.read_text().splitlines() == ["start x"]


def test_a_home_that_is_not_known_is_a_failure(init: Init, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(config(commands={"1": {"command": "true", "cwd": "~no-such-user/x"}})) == 1
    assert "command 1: ~no-such-user/x: " in capsys.readouterr().err


def test_metadata_that_is_not_there_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "other").write_text("{}")

    assert cfninit.main(["--file", str(tmp_path / "none")]) == 2
    assert cfninit.main(["--file", str(tmp_path / "other")]) == 2
    assert f"{tmp_path}/other has no AWS::CloudFormation::Init" in capsys.readouterr().err


def test_options_of_heat_cfntools_are_taken(init: Init) -> None:
    assert init(config(), "-s", "stack", "-r", "server", "--region", "here") == 0


def test_metadata_may_be_text_as_a_deployments_config_is(init: Init, tmp_path: Path) -> None:
    text = json.dumps(config(files={f"{tmp_path}/a": {"content": "x", **MINE}}))

    assert init(text) == 0
    assert (tmp_path / "a").read_text() == "x"


def test_nothing_is_fetched_but_from_the_web(
    init: Init, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert init(config(files={f"{tmp_path}/a": {"source": "file:///etc/passwd", **MINE}})) == 1
    assert "only http and https" in capsys.readouterr().err


@pytest.mark.parametrize("sections", ["files", "sources"])
def test_what_comes_byte_by_byte_has_a_deadline(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    sections: str,
) -> None:  # fmt: skip
    is_over = threading.Event()

    class Drip(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            while not is_over.wait(0.02):
                self.wfile.write(b" ")

        def log_message(self, *_words: object) -> None:
            pass

    monkeypatch.setattr(cfninit, "FETCH_DEADLINE_S", 0.3)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Drip) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/thing"
        wanted: dict[str, Any] = {
            "files": {f"{tmp_path}/a": {"source": f"{url}?secret", **MINE}},
            "sources": {f"{tmp_path}/b": url},
        }

        status = init(config(**{sections: wanted[sections]}))
        is_over.set()
        server.shutdown()

    assert status == 1
    assert f"{url}: no whole answer in 0.3 s" in capsys.readouterr().err


@pytest.mark.parametrize("value", [True, 1, "true", "True", "yes", "YES", "1", " true "])
def test_what_heat_cfntools_takes_for_true_is_true(value: object) -> None:
    assert cfnmetadata.is_true(value)


@pytest.mark.parametrize("value", [False, 0, None, "false", "no", "0", "", "on", 2, [], {}])
def test_all_else_is_false(value: object) -> None:
    assert not cfnmetadata.is_true(value)


def test_permissions_in_a_zip_archive_are_kept(
    init: Init, tmp_path: Path, web: Callable[[bytes], str]
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, mode in (("bin/run", 0o755), ("open", 0o666), ("plain", 0)):
            member = zipfile.ZipInfo(name)
            member.external_attr = (0o100000 | mode) << 16 if mode else 0
            archive.writestr(member, "x")

    assert init({"config": {"sources": {str(tmp_path / "to"): web(packed.getvalue())}}}) == 0

    modes = {name: (tmp_path / "to" / name).stat().st_mode & 0o777 for name in ("bin/run", "open", "plain")}
    assert modes["bin/run"] == 0o755
    assert modes["open"] == 0o644
    assert not modes["plain"] & 0o111


def tarred(*links: tuple[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, target in links:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    return packed.getvalue()


def test_an_absolute_link_in_a_tar_archive_is_one(
    init: Init, tmp_path: Path, web: Callable[[bytes], str]
) -> None:
    assert init({"config": {"sources": {str(tmp_path / "to"): web(tarred(("java", "/usr/bin/java")))}}}) == 0
    assert (tmp_path / "to/java").readlink() == Path("/usr/bin/java")


def test_a_member_of_a_tar_archive_does_not_leave_the_folder(
    init: Init, tmp_path: Path, web: Callable[[bytes], str]
) -> None:
    data = tarred(("out", str(tmp_path)), ("out/evil", "nowhere"))

    assert init({"config": {"sources": {str(tmp_path / "to"): web(data)}}}) == 1
    assert not os.path.lexists(tmp_path / "evil")


def test_a_command_runs_in_a_folder_of_its_home(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work").mkdir()

    assert init({"config": {"commands": {"a": {"command": "touch here", "cwd": "~/work"}}}}) == 0
    assert (tmp_path / "work/here").exists()


def test_a_file_that_is_there_keeps_mode_and_owner_that_are_not_configured(
    init: Init, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)

    assert init({"config": {"files": {str(path): {"content": "new"}}}}) == 0

    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o7777 == 0o640
    assert path.stat().st_uid == os.getuid()


def test_a_link_in_the_place_of_a_temporary_file_is_not_followed(init: Init, tmp_path: Path) -> None:
    folder = tmp_path / "everybodys"
    folder.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (folder / ".file.cfn-init").symlink_to(victim)

    assert init({"config": {"files": {str(folder / "file"): {"content": "new", **MINE}}}}) == 0
    assert victim.read_text() == "precious"
    assert sorted(path.name for path in folder.iterdir()) == [".file.cfn-init", "file"]


ODD_FILE = {cfnmetadata.KEY: {"config": {"files": {"/a": {"content": "", "encoding": []}}}}}


@pytest.mark.parametrize(
    "text", ["[" * 100_000 + "]" * 100_000, json.dumps(ODD_FILE)], ids=["deep", "encoding"]
)
def test_odd_metadata_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd").write_text(text)

    assert cfninit.main(["--file", str(tmp_path / "odd")]) == 2


def test_a_link_put_in_the_place_of_the_new_file_is_not_written_through(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of the folder may exchange the file as soon as it is there."""
    victim, make = tmp_path / "victim", cfninit.tempfile.mkstemp  # type: ignore[attr-defined]
    victim.write_text("precious")
    victim.chmod(0o600)

    def exchanged(**options: Any) -> tuple[int, str]:
        descriptor, name = make(**options)
        Path(name).unlink()
        Path(name).symlink_to(victim)
        return descriptor, name

    monkeypatch.setattr(cfninit.tempfile, "mkstemp", exchanged)  # type: ignore[attr-defined]
    init({"config": {"files": {str(tmp_path / "file"): {"content": "new", "mode": "000666", **MINE}}}})

    assert victim.read_text() == "precious"
    assert victim.stat().st_mode & 0o777 == 0o600
