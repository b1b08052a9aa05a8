# SPDX-License-Identifier: Apache-2.0
"""Releases in a real Glance: published, taken back, and what goes wrong in between."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from goldsmith.core import openstack
from goldsmith.devcloud import instance, lifecycle
from goldsmith.errors import PublishError
from goldsmith.provenance import attestation
from goldsmith.publish import observe, release
from goldsmith.publish.glance import Glance
from goldsmith.publish.operations import history
from goldsmith.publish.operations.asking import Question
from goldsmith.publish.release import GlanceImage
from tests.support import published
from tests.support.glance_proxy import GlanceProxy
from tests.support.inv import INV, task
from tests.support.publications import PubPlace, write_clouds, write_spec
from tests.support.tiny_builds import TinyPlace

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("ignore")]

NAME = "test-pub"
QUOTA_MIB, STORE_MIB = 200, 300
_COUNT = itertools.count(1)

MakePlace = Callable[..., PubPlace]


@pytest.fixture(scope="module")
def clouds_yaml(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cloud of Keystone and Glance, by TLS, with a small store and a quota."""
    assert INV.exists()
    task("cloud-down", "--name", NAME)
    words = ("--services", "glance", "--tls", "--store-size", str(STORE_MIB), "--quota", str(QUOTA_MIB))
    answer = json.loads(task("cloud-up", "--name", NAME, *words, "--json"))
    yield Path(answer["clouds_yaml"])
    task("cloud-down", "--name", NAME)


@pytest.fixture(scope="module")
def proxy(clouds_yaml: Path) -> GlanceProxy:
    client = yaml.safe_load(clouds_yaml.read_text())["clouds"][NAME]
    return GlanceProxy(client["image_endpoint_override"], client["cacert"])


@pytest.fixture(scope="module")
def clouds(clouds_yaml: Path, proxy: GlanceProxy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cloud under several names: as it is, behind the proxy, and as it cannot be used."""
    changes: dict[str, dict[str, Any]] = {
        "proxied": {"like": NAME, "image_endpoint_override": proxy.url},
        "wrong-password": {"like": NAME, "auth": {"password": "wrong"}},
        "untrusted": {"like": NAME, "cacert": None},
    }
    return write_clouds(clouds_yaml, tmp_path_factory.mktemp("clouds") / "clouds.yaml", changes)


@pytest.fixture
def converting(clouds_yaml: Path) -> Iterator[None]:
    """Glance makes raw of what is imported, as sites with Ceph have it."""
    path = instance.named(NAME).state / "etc" / "glance-api.conf"
    before = path.read_text()
    plugins = "image_import_plugins = []"
    assert plugins in before
    converts = "image_import_plugins = [image_conversion]"
    path.write_text(before.replace(plugins, converts) + "\n[image_conversion]\noutput_format = raw\n")
    lifecycle.service("stop", "glance", cloud=NAME)
    ensure_glance()
    yield
    path.write_text(before)
    lifecycle.service("stop", "glance", cloud=NAME)
    ensure_glance()


@pytest.fixture
def make(
    tiny_place: TinyPlace, clouds: Path, proxy: GlanceProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MakePlace]:
    """make(**keys of publish): a spec under an alias of its own; what it published is removed at the end."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(clouds))
    proxy.reset()
    made: list[PubPlace] = []

    def new(cloud: str = NAME, **publish: Any) -> PubPlace:
        alias = f"golden-{next(_COUNT)}"
        spec = write_spec(tmp_path / alias, {"alias": alias, "keep": 1, **publish})
        made.append(PubPlace(tiny=tiny_place, spec=spec, clouds_yaml=clouds, cloud=cloud, alias=alias))
        return made[-1]

    yield new
    proxy.reset()
    ensure_glance()
    glance = Glance(NAME)
    for place in made:
        for image in images_of(glance, place.alias):
            if image.protected:
                glance.change(image.id, {"protected": (True, False)})
            glance.delete(image.id)
        for note in tiny_place.out.glob("tiny/**/*publish-*.json"):
            note.unlink()


@pytest.fixture
def place(make: MakePlace) -> PubPlace:
    return make()


def ensure_glance() -> None:
    lifecycle.service("start", "glance", cloud=NAME)


def images_of(glance: Glance, alias: str) -> list[GlanceImage]:
    """All that a line has in Glance, records too, by plain lists of images."""
    return [i for i in observe.own_images(glance) if alias in (i.name, i.properties.get(release.ALIAS))]


def released(place: PubPlace) -> list[str]:
    """Builds that carry the alias as their name, by a plain list of images."""
    return [image.build_id for image in Glance(NAME).images({"name": place.alias})]


def add_image(cloud: str, name: str, data: bytes, **attributes: Any) -> str:
    """The ID of a new image that goldsmith did not make."""
    sdk = openstack.connect(cloud, clouds_yaml=None, error=PublishError)
    made = sdk.image.create_image(name, disk_format="raw", container_format="bare", data=data, **attributes)
    return str(made.id)


def is_upload(method: str, path: str) -> bool:
    return method == "PUT" and path.endswith("/file")


def moves_of(place: PubPlace) -> list[str]:
    """The builds to which the alias moved, by the alias alone."""
    away = place.spec.parent / "nothing here"
    (asked,) = history.ask(Question(name=place.alias, out=away, variables={}, clouds=(NAME,)))
    assert asked.value is not None, asked.error
    return [move.build_id for move in reversed(asked.value.moves)]


# The way of a release


def test_publish_again_new_build_rollback_publish(place: PubPlace, twins: list[Path]) -> None:
    first, second = twins

    place.publish(first)
    assert place.table() == {first.name: (True, False)}
    assert "unchanged" in place.publish(first).stdout
    assert place.table() == {first.name: (True, False)}
    planned = place.inv("plan-publish", "--build", second.name).stdout
    said = place.publish(second).stdout
    notes = said[said.index(f"{second.name}, after {first.name}") :]  # release notes
    assert planned.endswith(notes)
    assert place.table() == {second.name: (True, False), first.name: (False, True)}
    place.inv("rollback")
    assert place.table() == {second.name: (False, True), first.name: (True, False)}
    assert released(place) == [first.name]
    place.publish(second)
    assert place.table() == {second.name: (True, False), first.name: (False, True)}
    assert released(place) == [second.name]


def test_what_its_owner_has_signed_is_published_alone(
    make: MakePlace, tiny_build: Path, keys: dict[str, Path]
) -> None:
    place = make(**{"signed-by": str(keys["ours"].with_suffix(".pub"))})
    statement = tiny_build / attestation.FILE

    def sign(key: Path) -> None:
        words = ("--key", str(key), "--builder", "urn:test", "--accept-dirty", "a test")
        done = place.tiny.inv("sign", "tiny", "--build", tiny_build.name, *words)
        assert done.status == 0, done.stderr

    try:
        assert "statement: there is no" in place.publish(tiny_build, status=9).stderr
        sign(keys["theirs"])
        assert "not by the key" in place.publish(tiny_build, status=9).stderr
        assert images_of(Glance(NAME), place.alias) == []
        sign(keys["ours"])
        place.publish(tiny_build)
    finally:
        statement.unlink(missing_ok=True)
        (tiny_build / attestation.BUNDLE).unlink(missing_ok=True)
    assert released(place) == [tiny_build.name]


def require_answers_from_records(place: PubPlace, old: str, new: str) -> None:
    """Answers about the build new, which has the alias after old, from the records in the cloud."""
    database = place.spec.parent / "osv"
    database.mkdir()
    (database / "D-1.json").write_text(json.dumps({"id": "D-1", "affected": []}))
    asked: dict[str, tuple[str | Path, ...]] = {
        "diff": (place.alias, "--previous", "--database", database),
        "known-vulnerabilities": (place.alias, "--release", "--database", database),
        "rollback": (place.alias, "--plan"),
        "release-notes": (new, "--name", place.alias),
    }
    said = {
        name: json.loads(place.ask(name, *words, "--cloud", NAME, "--json").stdout)
        for name, words in asked.items()
    }

    for answer in said.values():
        published.check(answer)
    changed = said["diff"]["clouds"][NAME]
    assert (changed["old"], changed["new"], changed["advisories"]["closed"]) == (old, new, [])
    assert said["known-vulnerabilities"]["clouds"][NAME]["build_id"] == new
    assert said["rollback"]["clouds"][0]["diff"]["new"] == old
    assert said["release-notes"]["markdown"].startswith(f"# tiny {new}\n")


def test_what_operators_ask_is_answered_by_the_cloud_and_a_public_key(
    make: MakePlace, twins: list[Path], keys: dict[str, Path]
) -> None:
    """With one of two clouds away, without the spec and without a build."""
    ours, theirs = (keys[name].with_suffix(".pub") for name in ("ours", "theirs"))
    place = make(**{"signed-by": str(ours)})
    try:
        for build in twins:
            words = ("--key", str(keys["ours"]), "--builder", "urn:test", "--accept-dirty", "a test")
            assert place.tiny.inv("sign", "tiny", "--build", build.name, *words).status == 0
            place.release(build)
        here, both = ("--cloud", NAME), ("--cloud", NAME, "--cloud", "wrong-password")

        assert moves_of(place) == [build.name for build in twins]
        now = json.loads(place.ask("production", *both, "--json", status=7).stdout)
        published.check(now)
        (row,) = [row for row in now["clouds"][NAME] if row["alias"] == place.alias]
        assert (row["build_id"], row["move"]["before"]) == (twins[1].name, twins[0].name)
        assert row["move"]["by"]["user"]
        assert "rejects our login" in now["errors"]["wrong-password"]

        valid = json.loads(
            place.ask("verify-release", place.alias, "--key", ours, *here, "--download", "--json").stdout
        )
        published.check(valid)
        assert (valid["clouds"][NAME]["result"], valid["clouds"][NAME]["builder"]) == ("passed", "urn:test")
        assert (
            "ok      image" in place.ask("verify-release", place.alias, "--key", ours, *both, status=7).stdout
        )
        require_answers_from_records(place, *(build.name for build in twins))
        wrong = place.ask("verify-release", place.alias, "--key", theirs, *both, status=9)
        assert "not by the key" in wrong.stderr
    finally:
        for build in twins:
            for name in (attestation.FILE, attestation.BUNDLE):
                (build / name).unlink(missing_ok=True)


def test_the_database_of_glance_agrees(place: PubPlace, tiny_build: Path) -> None:
    place.release(tiny_build)
    manifest = json.loads((tiny_build / "manifest.json").read_text())

    (image,) = [i for i in images_of(Glance(NAME), place.alias) if i.is_ours]

    assert (image.name, image.status, image.visibility, image.hidden) == (
        place.alias,
        "active",
        "private",
        False,
    )
    assert (image.hash_algo, image.hash_value) == ("sha512", manifest["disks"][0]["sha512"])
    assert (image.size, image.min_disk, image.min_ram) == (
        manifest["disks"][0]["size"], manifest["min_disk_gib"], manifest["min_ram_mib"],
    )  # fmt: skip
    assert image.properties[release.SHA256] == manifest["disks"][0]["sha256"]


def test_a_plan_changes_nothing_and_says_what_publish_will_do(place: PubPlace, tiny_build: Path) -> None:
    words = ("--build", tiny_build.name)

    plan = place.answer("plan-publish", *words)

    assert [action["action"] for action in plan["actions"]] == [
        "create",
        "upload",
        "check",
        "record",
        "history",
        "change",
    ]
    assert images_of(Glance(NAME), place.alias) == []
    done = place.answer("publish", *words)
    assert done["image"] == plan["image"]
    assert place.inv("plan-publish", *words).stdout == f"{NAME}: nothing to do\n"


def test_resolve_and_diff_from_a_machine_without_builds(
    place: PubPlace, twins: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for build in twins:
        place.release(build)
    away = tmp_path / "nothing here"

    image = place.inv("resolve").stdout.strip()
    old = place.inv("resolve", "--build", twins[0].name).stdout.strip()
    builds = [build.name for build in twins]
    said = json.loads(place.inv("diff", *builds, "--out", away, "--json").stdout)
    published.check(said)
    assert "  no differences\n" in place.inv("diff", builds[0], builds[0], "--out", away).stdout

    assert {image, old} == {i.id for i in images_of(Glance(NAME), place.alias) if i.is_ours}
    assert (said["old"], said["new"]) == (twins[0].name, twins[1].name)
    place.inv("rollback", "--out", away)
    assert released(place) == [twins[0].name]


def test_properties_tags_visibility_and_protection_follow_the_spec(make: MakePlace, tiny_build: Path) -> None:
    place = make(
        cloud=f"{NAME}-admin", visibility="public", protected=True, tags=["nightly"],
        properties={"hw_disk_bus": "virtio"},
    )  # fmt: skip
    place.release(tiny_build)
    glance = Glance(place.cloud)

    (image,) = [i for i in images_of(glance, place.alias) if i.is_ours]
    assert (image.visibility, image.protected) == ("public", True)
    assert image.tags == {"goldsmith", "nightly"}
    assert {"hw_disk_bus", "os_type", "hw_architecture"} <= set(image.properties)
    assert observe.images_named(Glance(NAME), place.alias)[0].id == image.id  # another project sees it

    scsi = {"hw_disk_bus": "scsi", "hw_scsi_model": "virtio-scsi"}
    keys = {"alias": place.alias, "visibility": "community", "properties": scsi}
    shutil.rmtree(place.spec.parent)
    write_spec(place.spec.parent, keys)
    place.release(tiny_build)

    (image,) = [i for i in images_of(glance, place.alias) if i.is_ours]
    assert (image.visibility, image.protected) == ("community", False)
    assert {name: image.properties[name] for name in scsi} == scsi
    for each in images_of(glance, place.alias):
        glance.delete(each.id)


def test_a_shared_image_is_offered(make: MakePlace, tiny_build: Path) -> None:
    theirs = Glance(f"{NAME}-admin").project
    place = make(visibility="shared", share=[theirs])

    place.release(tiny_build)

    (image,) = [i for i in images_of(Glance(NAME), place.alias) if i.is_ours]
    assert Glance(NAME).members(image.id) == {theirs}
    assert "nothing to do" in place.inv("plan-publish", "--build", tiny_build.name).stdout


def test_raw_is_made_from_the_qcow2_and_a_canary_boots_what_glance_gives_out(
    make: MakePlace, tiny_build: Path
) -> None:
    place = make(clouds=[{"name": NAME, "format": "raw", "canary": "download"}])
    words = json.loads((tiny_build / "manifest.json").read_text())

    said = place.publish(tiny_build)

    (image,) = [i for i in images_of(Glance(NAME), place.alias) if i.is_ours]
    assert (image.disk_format, image.size) == ("raw", words["disks"][0]["virtual_size"])
    assert f"{NAME}: canary, download done" in said.stderr


def test_a_store_is_filled_by_import(make: MakePlace, tiny_build: Path) -> None:
    place = make(clouds=[{"name": NAME, "stores": ["local"]}])

    place.release(tiny_build)

    (image,) = [i for i in images_of(Glance(NAME), place.alias) if i.is_ours]
    assert (image.status, image.properties["stores"]) == ("active", "local")


def test_several_stores_are_filled(make: MakePlace, tiny_build: Path) -> None:
    place = make(clouds=[{"name": NAME, "stores": ["local", "spare"]}])

    place.release(tiny_build)

    (image,) = [i for i in images_of(Glance(NAME), place.alias) if i.is_ours]
    assert (image.status, set(image.properties["stores"].split(","))) == ("active", {"local", "spare"})


def test_a_store_that_is_not_there(make: MakePlace, tiny_build: Path) -> None:
    refused(make(clouds=[{"name": NAME, "stores": ["elsewhere"]}]), tiny_build, "elsewhere")


def test_what_glance_converts_is_compared_by_its_content(
    make: MakePlace, tiny_build: Path, converting: None
) -> None:
    place = make(clouds=[{"name": NAME, "stores": ["spare"]}])

    said = place.publish(tiny_build).stderr

    assert f"{NAME}: compare the content that Glance converted to raw done" in said
    (image,) = [i for i in images_of(Glance(NAME), place.alias) if i.is_ours]
    assert image.disk_format == "raw"
    assert released(place) == [tiny_build.name]
    assert "unchanged" in place.publish(tiny_build).stdout


def test_an_application_credential_is_enough(
    make: MakePlace, tiny_build: Path, clouds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can be taken away without changing anybody's password."""
    sdk = openstack.connect(NAME, clouds_yaml=clouds, error=PublishError)
    user = sdk.current_user_id
    made = sdk.identity.create_application_credential(user, name=f"nightly-{os.getpid()}")
    document = yaml.safe_load(clouds.read_text())
    address = document["clouds"][NAME]["auth"]["auth_url"]
    auth = {
        "auth_url": address,
        "application_credential_id": made.id,
        "application_credential_secret": made.secret,
    }
    document["clouds"]["nightly"] = {
        **document["clouds"][NAME], "auth_type": "v3applicationcredential", "auth": auth,
    }  # fmt: skip
    own = tmp_path / "clouds.yaml"
    own.write_text(yaml.safe_dump(document))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(own))
    place = dataclasses.replace(make(), cloud="nightly", clouds_yaml=own)

    place.publish(tiny_build)
    assert released(place) == [tiny_build.name]

    sdk.identity.delete_application_credential(user, made.id)
    said = place.inv("images", status=7).stderr
    assert "cannot use the cloud nightly" in said


def test_glance_fetches_the_image_itself(make: MakePlace, tiny_build: Path, tiny_place: TinyPlace) -> None:
    place = make(clouds=[{"name": NAME, "web-download": f"http://{instance.ADDRESS}:8099"}])
    words = ["python3", "-m", "http.server", "8099", "--directory", str(tiny_place.out)]
    server = lifecycle.namespaces_of(NAME).start("files", words)
    try:
        time.sleep(2)
        place.publish(tiny_build)
    finally:
        server.terminate()

    assert released(place) == [tiny_build.name]


def test_glance_cannot_fetch_the_image(make: MakePlace, tiny_build: Path) -> None:
    place = make(clouds=[{"name": NAME, "web-download": f"http://{instance.ADDRESS}:8098"}])

    refused(place, tiny_build, "Glance could not import", words=("--deadline", "30"))


def test_several_clouds_one_of_which_fails(place: PubPlace, tiny_build: Path) -> None:
    done = place.inv(
        "publish",
        "--build",
        tiny_build.name,
        "--cloud",
        "wrong-password",
        "--cloud",
        f"{NAME}-admin",
        status=7,
    )

    assert "1 of 3 clouds failed" in done.stderr
    assert "wrong-password" in done.stderr
    for cloud in (NAME, f"{NAME}-admin"):
        assert f"{cloud}: tiny-{tiny_build.name} is release 1" in done.stdout
        assert len(observe.images_named(Glance(cloud), place.alias)) == 1
    for image in images_of(Glance(f"{NAME}-admin"), place.alias):
        Glance(f"{NAME}-admin").delete(image.id)


# What is refused before anything is changed


def refused(place: PubPlace, build: Path, *said: str, cloud: str = "", words: tuple[str, ...] = ()) -> None:
    """publish ends with 7 and one sentence, and the line has what it had."""
    glance = Glance(f"{NAME}-admin" if "admin" in place.cloud else NAME)
    before = images_of(glance, place.alias)

    done = place.publish(build, *words, status=7, cloud=cloud)

    for each in said:
        assert each in done.stderr
    assert "Traceback" not in done.stderr
    ensure_glance()
    assert images_of(glance, place.alias) == before


def test_a_wrong_password(place: PubPlace, tiny_build: Path) -> None:
    refused(place, tiny_build, "rejects our login", "check user, password", cloud="wrong-password")


def test_a_certificate_that_is_not_trusted(place: PubPlace, tiny_build: Path) -> None:
    refused(place, tiny_build, "certificate is not trusted", "cacert", cloud="untrusted")


def test_no_permission_for_a_public_image(make: MakePlace, twins: list[Path]) -> None:
    place = make()
    place.release(twins[0])
    shutil.rmtree(place.spec.parent)
    write_spec(place.spec.parent, {"alias": place.alias, "visibility": "public"})

    refused(place, twins[1], "Glance does not change", "403")
    assert released(place) == [twins[0].name]


def test_a_quota_that_is_used_up(place: PubPlace, tiny_build: Path, filler: Callable[..., None]) -> None:
    filler(NAME, QUOTA_MIB - 10)

    refused(place, tiny_build, "the quota for images leaves", "MiB")


def test_a_store_that_is_full(place: PubPlace, tiny_build: Path, filler: Callable[..., None]) -> None:
    filler(NAME, QUOTA_MIB - 40)
    filler(f"{NAME}-admin", STORE_MIB - QUOTA_MIB + 40 - 10)  # what is left fits into the quota alone

    refused(place, tiny_build, "Glance has no room for tiny-amd64.qcow2")


@pytest.fixture
def filler(make: MakePlace) -> Iterator[Callable[..., None]]:
    """filler(CLOUD, MIB): an image that only takes room."""
    made: list[tuple[Glance, str]] = []

    def fill(cloud: str, mib: int) -> None:
        made.append((Glance(cloud), add_image(cloud, "filler", bytes(mib << 20))))

    yield fill
    for glance, image in made:
        glance.delete(image)


def test_a_name_that_is_somebody_elses(place: PubPlace, tiny_build: Path) -> None:
    image = add_image(f"{NAME}-admin", place.alias, b"theirs", visibility="public")
    try:
        refused(place, tiny_build, f"the name {place.alias} belongs to another image, {image}")
    finally:
        Glance(f"{NAME}-admin").delete(image)


def test_properties_that_glance_defines_otherwise(make: MakePlace, tiny_build: Path) -> None:
    place = make(properties={"hw_disk_bus": "floppy", "hw_cdrom_buss": "ide"})

    refused(
        place, tiny_build, "hw_disk_bus: 'floppy' is not one of", "hw_cdrom_buss is not known; did you mean"
    )


def test_properties_that_glance_refuses(make: MakePlace, tiny_build: Path) -> None:
    place = make(properties={"os_glance_mine": "x"})

    refused(place, tiny_build, "Glance does not create", "os_glance")


@pytest.fixture
def spoilt(tiny_build: Path, tiny_place: TinyPlace) -> Iterator[Path]:
    """A copy of a build, to be changed."""
    copy = tiny_build.with_name("2" + tiny_build.name[1:-7] + "spoiled")
    shutil.copytree(tiny_build, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "build_id": copy.name}))
    yield copy
    shutil.rmtree(copy)


def test_bytes_that_differ_from_the_manifest(place: PubPlace, spoilt: Path) -> None:
    with (spoilt / "tiny-amd64.qcow2").open("r+b") as disk:
        disk.seek(-1, os.SEEK_END)
        disk.write(b"x")

    refused(place, spoilt, "tiny-amd64.qcow2 differs from its manifest")


def test_a_manifest_that_contradicts_its_files(place: PubPlace, spoilt: Path) -> None:
    (spoilt / "packages.json").write_text("{}")

    refused(place, spoilt, "packages.json differs from its manifest")


@pytest.mark.parametrize("verdict", [None, "failed"])
def test_a_build_that_was_not_verified(place: PubPlace, spoilt: Path, verdict: str | None) -> None:
    manifest = json.loads((spoilt / "manifest.json").read_text())
    manifest["verification"] = verdict and {**manifest["verification"], "result": verdict}
    (spoilt / "manifest.json").write_text(json.dumps(manifest))

    refused(place, spoilt, "was not verified")


# What goes wrong on the way


def test_a_byte_that_changes_on_the_way(place: PubPlace, twins: list[Path], proxy: GlanceProxy) -> None:
    place.release(twins[0])
    proxy.flip = True

    refused(place, twins[1], "the image in Glance differs from tiny-amd64.qcow2", cloud="proxied")
    assert released(place) == [twins[0].name]


def test_a_connection_that_is_lost_while_uploading(
    place: PubPlace, tiny_build: Path, proxy: GlanceProxy
) -> None:
    proxy.cut = [1 << 20, 4 << 20]

    done = place.publish(tiny_build, cloud="proxied")

    assert done.stderr.count("trying again") == 2
    assert released(place) == [tiny_build.name]
    assert len([1 for method, path in proxy.asked if is_upload(method, path)]) == 4  # the record is one


def test_a_connection_that_is_lost_each_time(place: PubPlace, tiny_build: Path, proxy: GlanceProxy) -> None:
    proxy.cut = [1 << 20] * 3

    refused(place, tiny_build, "the upload of", cloud="proxied")


def test_a_cloud_that_is_too_slow(place: PubPlace, tiny_build: Path, proxy: GlanceProxy) -> None:
    proxy.before = lambda method, path: time.sleep(6) if is_upload(method, path) else None

    refused(place, tiny_build, "deadline", cloud="proxied", words=("--deadline", "3"))


def test_a_glance_whose_clock_is_off(place: PubPlace, twins: list[Path], proxy: GlanceProxy) -> None:
    """Which release comes after which is a matter of numbers, not of times."""
    seen = dataclasses.replace(place, cloud="proxied")
    for build, days in zip(twins, (400, -400), strict=True):
        proxy.clock = datetime.timedelta(days=days)
        seen.release(build)

    rows = seen.answer("images")
    long_ago = seen.inv("images").stdout
    proxy.clock = datetime.timedelta(days=400)
    to_come = seen.inv("images").stdout
    seen.inv("rollback")

    assert [(row["build_id"], row["alias"]) for row in rows] == [
        (twins[1].name, True),
        (twins[0].name, False),
    ]
    assert long_ago.count("  400 d  ") == to_come.count("  0 s  ") == 2
    assert released(place) == [twins[0].name]


@pytest.mark.parametrize("moment", ["while it uploads", "after the upload", "before the alias"])
def test_glance_stopped_for_good(place: PubPlace, twins: list[Path], proxy: GlanceProxy, moment: str) -> None:
    """Nothing is published; what could not be removed is said, listed, and gone after the next run."""
    place.release(twins[0])
    stopped: list[str] = []

    def stop(method: str, path: str) -> None:
        here = {
            "while it uploads": is_upload(method, path),
            "after the upload": method == "GET" and any(is_upload(*each) for each in proxy.asked),
            "before the alias": method == "PATCH",
        }[moment]
        if here and not stopped:
            stopped.append(path)
            lifecycle.service("stop", "glance", cloud=NAME)

    proxy.before = stop
    done = place.publish(twins[1], status=7, cloud="proxied")
    assert stopped
    assert "cannot remove" in done.stderr
    ensure_glance()
    proxy.reset()

    assert released(place) == [twins[0].name]
    listed = place.inv("images", "--orphans", cloud="proxied").stdout
    assert f"tiny-{twins[1].name}" in listed
    place.release(twins[1], cloud="proxied")
    assert place.table() == {twins[1].name: (True, False), twins[0].name: (False, True)}


def test_glance_stopped_for_some_seconds_before_the_alias_moves(
    place: PubPlace, twins: list[Path], proxy: GlanceProxy
) -> None:
    place.release(twins[0])
    stopped: list[str] = []

    def stop(method: str, path: str) -> None:
        if method == "PATCH" and not stopped:
            stopped.append(path)
            lifecycle.service("stop", "glance", cloud=NAME)
            threading.Timer(2, ensure_glance).start()

    proxy.before = stop

    place.release(twins[1], cloud="proxied")

    assert stopped
    assert released(place) == [twins[1].name]


def test_two_publishers_at_once(
    place: PubPlace, twins: list[Path], tmp_path: Path, proxy: GlanceProxy
) -> None:
    """On two machines, as their folders of builds are different: one is told to wait."""
    other = tmp_path / "another machine"
    (other / "tiny").mkdir(parents=True)
    shutil.copytree(twins[1], other / "tiny" / twins[1].name)
    second: list[Any] = []

    def begin(method: str, path: str) -> None:
        if is_upload(method, path) and not second:
            second.append(place.inv("publish", "--build", twins[1].name, "--out", other, status=7))

    proxy.before = begin

    place.release(twins[0], cloud="proxied")

    assert f"somebody else has been publishing {twins[0].name} under {place.alias}" in second[0].stderr
    assert released(place) == [twins[0].name]
    place.release(twins[1], out=other)
    assert released(place) == [twins[1].name]


def test_two_publishers_on_one_machine(place: PubPlace, twins: list[Path], proxy: GlanceProxy) -> None:
    second: list[Any] = []

    def begin(method: str, path: str) -> None:
        if is_upload(method, path) and not second:
            second.append(place.publish(twins[1], status=7, cloud="proxied"))

    proxy.before = begin

    place.release(twins[0], cloud="proxied")

    assert "another process on this machine is publishing tiny" in second[0].stderr
    assert released(place) == [twins[0].name]


@pytest.mark.parametrize(
    ("method", "ending", "moment"),
    [
        ("POST", "/images", "after"), ("PUT", "/file", "before"), ("PUT", "/file", "after"),
        ("PATCH", "of the history", "after"), ("PATCH", "of the alias", "before"),
        ("PATCH", "of the alias", "after"),
    ],
)  # fmt: skip
def test_killed(
    place: PubPlace, twins: list[Path], proxy: GlanceProxy, method: str, ending: str, moment: str
) -> None:
    """With -9, at a request of the second release: the rule gives one good image, and a rerun completes.

    The moves of the alias that are kept are those that happened.
    """
    place.release(twins[0])
    running: list[Any] = []
    left = 2 if ending == "of the alias" else 1

    def kill(asked: str, path: str) -> None:
        nonlocal left
        if asked == method and (asked == "PATCH" or path.endswith(ending)) and running:
            left -= 1
            if not left:
                running.pop().kill()
                time.sleep(0.2)
                if moment == "before":
                    raise ConnectionResetError  # else the proxy passes on what it has of the request

    setattr(proxy, moment, kill)
    process = place.begin("publish", "--build", twins[1].name, cloud="proxied")
    running.append(process)
    process.communicate(timeout=120)
    assert process.returncode == -9
    proxy.reset()

    holder = release.holder(observe.images_named(Glance(NAME), place.alias), place.alias)
    assert holder is not None
    moved = (ending, moment) == ("of the alias", "after")
    assert holder.build_id == twins[1 if moved else 0].name
    assert moves_of(place) == [build.name for build in twins[: 2 if moved else 1]]
    place.release(twins[1], cloud="proxied")

    assert released(place) == [twins[1].name]
    assert place.table() == {twins[1].name: (True, False), twins[0].name: (False, True)}
    assert len(images_of(Glance(NAME), place.alias)) == 4  # two releases, each with its record
    assert moves_of(place) == [build.name for build in twins]


def test_interrupted(place: PubPlace, tiny_build: Path, proxy: GlanceProxy) -> None:
    running: list[Any] = []

    def interrupt(method: str, path: str) -> None:
        if is_upload(method, path) and running:
            running.pop().terminate()
            time.sleep(1)

    proxy.before = interrupt
    process = place.begin("publish", "--build", tiny_build.name, cloud="proxied")
    running.append(process)
    process.communicate(timeout=60)

    assert process.returncode == 130
    assert images_of(Glance(NAME), place.alias) == []


def test_orphans_of_another_machine_are_removed_only_by_force(
    place: PubPlace, twins: list[Path], proxy: GlanceProxy, tmp_path: Path
) -> None:
    running: list[Any] = []
    proxy.before = lambda method, path: running.pop().kill() if is_upload(method, path) and running else None
    process = place.begin("publish", "--build", twins[0].name, cloud="proxied")
    running.append(process)
    process.communicate(timeout=60)
    away = tmp_path / "another machine"

    assert "no leftovers" in place.inv("images", "--orphans", "--clean", "--out", away).stdout
    assert "removed" in place.inv("images", "--orphans", "--clean", "--force", "--out", away).stdout

    assert images_of(Glance(NAME), place.alias) == []


def test_images_that_are_not_ours_are_left_alone(place: PubPlace, twins: list[Path]) -> None:
    """Also one in our own project that has our tag, but no release of ours."""
    glance = Glance(NAME)
    properties = {release.ALIAS: place.alias}
    theirs = add_image(NAME, "somebody's", b"x", tags=["goldsmith"], properties=properties)
    before = glance.get(theirs)
    for build in twins:
        place.release(build)
    place.inv("images", "--orphans", "--clean", "--force")

    assert glance.get(theirs) == before


def test_records_in_a_folder(place: PubPlace, twins: list[Path], tmp_path: Path) -> None:
    words = ("--record", str(tmp_path / "records"))
    for build in twins:
        place.publish(build, *words)

    assert all(i.is_ours for i in images_of(Glance(NAME), place.alias))
    rows = place.answer("images", *words)
    assert [(row["hash"], row["images"]) for row in rows] == [("ok", 0), ("ok", 0)]
    place.inv("rollback", *words)
    assert released(place) == [twins[0].name]


def test_a_rollback_that_was_killed_is_finished_and_not_taken_further(
    place: PubPlace, twins: list[Path], proxy: GlanceProxy
) -> None:
    for build in twins:
        place.release(build, cloud="proxied")
    running: list[Any] = []
    proxy.reset()

    def kill(method: str, _path: str) -> None:
        if [asked for asked, _ in proxy.asked].count("PATCH") == 2 and running:  # history, alias
            running.pop().kill()

    proxy.after = kill
    process = place.begin("rollback", cloud="proxied")
    running.append(process)
    process.communicate(timeout=60)
    proxy.reset()
    assert sorted(released(place)) == sorted(build.name for build in twins)

    place.inv("rollback", cloud="proxied")

    assert released(place) == [twins[0].name]
    assert moves_of(place) == [twins[0].name, twins[1].name, twins[0].name]


def test_a_rollback_to_an_image_that_is_not_what_was_published_is_refused(
    place: PubPlace, twins: list[Path], tmp_path: Path
) -> None:
    words = ("--record", str(tmp_path / "records"))
    for build in twins:
        place.publish(build, *words)
    shutil.copy(  # the record of another build stands for bytes that changed in Glance
        tmp_path / "records/tiny" / f"{twins[1].name}.json.gz",
        tmp_path / "records/tiny" / f"{twins[0].name}.json.gz",
    )

    done = place.inv("rollback", *words, status=7)

    assert "Glance no longer holds what was published" in done.stderr
    assert released(place) == [twins[1].name]
