# SPDX-License-Identifier: Apache-2.0
"""Plans, on a model of Glance that changes one image at a time, as the real one does."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
from collections.abc import Iterator

import pytest

from goldsmith.errors import PublishError
from goldsmith.publish import answers, inventory, moves, planner, release
from goldsmith.publish.model import Action, CurrentState, DesiredRelease, Kind, Plan
from goldsmith.publish.publisher import CloudResult
from goldsmith.publish.release import GlanceImage, ReleaseLine
from goldsmith.spec.model import Canary, Retired, Visibility

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
PROJECT = "p1"
LINE = ReleaseLine(name="golden", alias="golden", keep=2)
SHA512 = "5" * 128


def desired(build: str, **changes: object) -> DesiredRelease:
    found = DesiredRelease(
        line=LINE, build_id=build, disk_format="qcow2", size=100, sha256=f"sha-{build}", sha512=SHA512,
        min_disk=2, min_ram=512,
    )  # fmt: skip
    return dataclasses.replace(found, **changes)  # type: ignore[arg-type]


class Model:
    """Glance as a publisher uses it."""

    def __init__(self) -> None:
        self.images: dict[str, GlanceImage] = {}
        self.records: dict[str, tuple[str, ...]] = {}
        self.histories: dict[str, str] = {}
        self.members: dict[str, frozenset[str]] = {}
        self.in_use: frozenset[str] | None = frozenset()
        self.interrupted_runs: frozenset[str] = frozenset()
        self.foreign: tuple[GlanceImage, ...] = ()

    def state(self) -> CurrentState:
        return CurrentState(
            project=PROJECT, now=NOW, images=tuple(self.images.values()), records=self.records,
            members=self.members, in_use=self.in_use, foreign=self.foreign,
            interrupted_runs=self.interrupted_runs, histories=self.histories,
        )  # fmt: skip

    def do(self, action: Action, plan: Plan) -> None:
        match action.kind:
            case Kind.create:
                self.images[action.image] = dataclasses.replace(plan.target, created=NOW.isoformat())
                self.interrupted_runs |= {plan.target.properties[release.RUN]}  # it is this machine's own
            case Kind.upload:
                self.set(action.image, status="active", size=100)
            case Kind.change:
                self.change(action)
            case Kind.record | Kind.history:
                self.record(action, plan)
            case Kind.delete:
                self.images.pop(action.image, None)
                self.records = {b: ids for b, ids in self.records.items() if action.image not in ids}
            case Kind.offer:
                self.members[action.image] = self.members.get(action.image, frozenset()) | {action.detail}
            case Kind.withdraw:
                self.members[action.image] = self.members.get(action.image, frozenset()) - {action.detail}
            case Kind.activate:
                self.set(action.image, status="active")
            case Kind.deactivate:
                self.set(action.image, status="deactivated")

    def record(self, action: Action, plan: Plan) -> None:
        build = plan.target.build_id
        if action.kind is Kind.record:
            self.records = {**self.records, build: (f"record-{build}",)}
        else:
            self.histories = {**self.histories, build: moves.packed(plan.history)}

    def change(self, action: Action) -> None:
        fields = {"os_hidden": "hidden"}
        for key, (_, new) in action.changes.items():
            if key in ("name", "os_hidden", "visibility", "protected", "min_disk", "min_ram"):
                self.set(action.image, **{fields.get(key, key): new})
            elif key == "tags":
                self.set(action.image, tags=frozenset(new))  # type: ignore[call-overload]
            else:
                properties = {**self.images[action.image].properties, key: new}
                kept = {name: value for name, value in properties.items() if value is not None}
                self.set(action.image, properties=kept)

    def set(self, image: str, **changes: object) -> None:
        self.images[image] = dataclasses.replace(self.images[image], **changes)  # type: ignore[arg-type]

    def publish(self, want: DesiredRelease) -> Plan:
        plan = planner.publish(self.state(), want)
        for action in plan.actions:
            self.do(action, plan)
        return plan

    def rollback(self, to: str = "") -> Plan:
        plan = planner.rollback(self.state(), LINE, to=to)
        for action in plan.actions:
            self.do(action, plan)
        return plan

    def moves(self) -> list[tuple[int, str, str, str]]:
        """Number, kind, the build that got the alias, the one that had it."""
        found = moves.history(self.images.values(), self.histories)
        return [(move.number, move.kind, move.build_id, move.before) for move in found]

    def holder(self) -> str:
        """The build under the alias; the plain name has to be on exactly one."""
        visible = [i for i in self.images.values() if i.name == LINE.alias]
        assert len(visible) == 1
        return visible[0].build_id


@pytest.fixture
def model() -> Model:
    return Model()


def kinds(plan: Plan) -> list[Kind]:
    return [action.kind for action in plan.actions]


def test_a_first_release_is_private_and_hidden_until_it_is_checked(model: Model) -> None:
    plan = planner.publish(model.state(), desired("b1", visibility=Visibility.public))

    assert kinds(plan) == [
        Kind.create, Kind.upload, Kind.check, Kind.record, Kind.change, Kind.history, Kind.change,
    ]  # fmt: skip
    assert (plan.target.visibility, plan.target.hidden, plan.target.name) == ("private", True, "golden-b1")
    assert plan.actions[4].changes == {"visibility": ("private", "public")}
    assert plan.actions[6].changes == {
        "name": ("golden-b1", "golden"), "os_hidden": (True, False), release.STATE: ("staged", "released"),
        release.MOVE: (None, "1"), release.SINCE: (None, "2026-03-01T12:00:00Z"),
    }  # fmt: skip


def test_publishing_twice_changes_nothing(model: Model) -> None:
    model.publish(desired("b1"))

    assert model.publish(desired("b1")).actions == ()


def test_the_new_image_gets_the_alias_before_the_old_one_loses_it(model: Model) -> None:
    model.publish(desired("b1"))
    plan = model.publish(desired("b2"))

    renamed = [(each.label, each.changes["name"][1]) for each in plan.actions if "name" in each.changes]
    assert renamed == [("golden-b2", "golden"), ("golden-b1", "golden-b1")]
    assert model.holder() == "b2"


def test_a_canary_comes_after_the_comparison_and_before_the_alias(model: Model) -> None:
    plan = planner.publish(model.state(), desired("b1", canary=Canary.download))

    assert kinds(plan)[1:5] == [Kind.upload, Kind.check, Kind.canary, Kind.record]


def test_releases_are_numbered_upwards_also_after_the_newest_is_gone(model: Model) -> None:
    model.publish(desired("b1"))
    model.publish(desired("b2"))

    assert planner.publish(model.state(), desired("b3")).target.number == 3
    assert planner.publish(model.state(), desired("b3"), number=7).target.number == 7


def test_two_publishers_who_take_the_same_number_take_the_same_id(model: Model) -> None:
    one = planner.publish(model.state(), desired("b1")).target
    other = planner.publish(model.state(), desired("b9")).target

    assert one.id == other.id
    assert release.image_id("p2", "golden", 1) != one.id


def test_rollback_goes_to_the_release_before_and_further_with_each_call(model: Model) -> None:
    for build in ("b1", "b2", "b3"):
        model.publish(desired(build))

    model.rollback()
    assert model.holder() == "b2"
    model.rollback()
    assert model.holder() == "b1"
    with pytest.raises(PublishError, match="no release before b1") as caught:
        model.rollback()
    assert caught.value.hint == "there are: b2, b3"


def test_rollback_to_a_build(model: Model) -> None:
    for build in ("b1", "b2", "b3"):
        model.publish(desired(build))

    model.rollback("b1")

    assert model.holder() == "b1"
    with pytest.raises(PublishError, match="no release b9 under golden"):
        model.rollback("b9")


def test_a_release_that_was_rolled_back_is_published_again_without_an_upload(model: Model) -> None:
    model.publish(desired("b1"))
    model.publish(desired("b2"))
    model.rollback()

    plan = model.publish(desired("b2"))

    assert Kind.upload not in kinds(plan)
    assert kinds(plan)[0] is Kind.check
    assert model.holder() == "b2"


OLD, NEW = "20260301T120000Z-abcdefa", "20260302T120000Z-abcdefb"


def test_a_build_that_is_older_than_the_holder_of_the_alias_is_refused_unless_it_is_allowed(
    model: Model,
) -> None:
    model.publish(desired(OLD))
    model.publish(desired(NEW))

    with pytest.raises(PublishError, match=f"golden is {NEW}, a newer build than {OLD}") as e:
        model.publish(desired(OLD))
    assert "rollback" in (e.value.hint or "")
    assert model.holder() == NEW

    model.publish(desired(OLD, may_be_older=True))
    assert model.holder() == OLD
    model.publish(desired(NEW))
    assert model.holder() == NEW
    model.rollback(OLD)
    assert model.holder() == OLD


def test_after_a_rollback_the_next_release_goes_back_to_the_good_one(model: Model) -> None:
    for build in ("b1", "b2"):
        model.publish(desired(build))
    model.rollback()
    model.publish(desired("b3"))

    model.rollback()

    assert model.holder() == "b1"


def everything(model: Model) -> Iterator[tuple[str, Plan]]:
    """Publications and rollbacks, one after the other, each planned on what the one before left."""
    yield "publish b1", planner.publish(model.state(), desired("b1"))
    yield "publish b2", planner.publish(model.state(), desired("b2", visibility=Visibility.public))
    yield "publish b3", planner.publish(model.state(), desired("b3"))
    yield "rollback", planner.rollback(model.state(), LINE)
    yield "publish b4", planner.publish(model.state(), desired("b4"))
    yield "publish b5", planner.publish(model.state(), desired("b5"))


def test_at_every_step_the_rule_gives_one_released_active_image(model: Model) -> None:
    before = None
    for name, plan in everything(model):
        for action in plan.actions:
            model.do(action, plan)
            found = release.holder(model.images.values(), LINE.alias)
            if before is not None:
                assert found is not None, name
            if found is not None:
                assert found.is_released, name
                assert found.status == "active"
            before = found
        assert model.holder() == plan.target.build_id, name


@pytest.mark.parametrize("cut", range(12))
def test_the_same_call_finishes_an_interrupted_publication(model: Model, cut: int) -> None:
    for build in ("b1", "b2", "b3"):
        model.publish(desired(build))
    plan = planner.publish(model.state(), desired("b4"))
    for action in itertools.islice(plan.actions, cut):
        model.do(action, plan)

    model.publish(desired("b4"))

    assert model.holder() == "b4"
    assert sorted(i.build_id for i in model.images.values()) == ["b2", "b3", "b4"]
    assert all(i.hidden for i in model.images.values() if i.build_id != "b4")
    assert model.publish(desired("b4")).actions == ()


@pytest.mark.parametrize("cut", range(12))
def test_another_build_removes_what_an_interrupted_publication_left(model: Model, cut: int) -> None:
    model.publish(desired("b1"))
    plan = planner.publish(model.state(), desired("b2"))
    for action in itertools.islice(plan.actions, cut):
        model.do(action, plan)

    model.publish(desired("b3"))

    assert model.holder() == "b3"
    assert all(image.is_released for image in model.images.values())


@pytest.mark.parametrize("cut", range(4))
def test_the_same_call_finishes_an_interrupted_rollback(model: Model, cut: int) -> None:
    model.publish(desired("b1"))
    model.publish(desired("b2"))
    plan = planner.rollback(model.state(), LINE)
    for action in itertools.islice(plan.actions, cut):
        model.do(action, plan)

    model.rollback("b1")

    assert model.holder() == "b1"


# Retiring


def test_old_releases_beyond_those_to_keep_are_deleted_with_their_records(model: Model) -> None:
    for build in ("b1", "b2", "b3", "b4"):
        model.publish(desired(build))

    assert sorted(image.build_id for image in model.images.values()) == ["b2", "b3", "b4"]
    assert sorted(model.records) == ["b2", "b3", "b4"]


def test_the_release_to_roll_back_to_is_kept_even_with_keep_0(model: Model) -> None:
    line = dataclasses.replace(LINE, keep=0)
    for build in ("b1", "b2", "b3"):
        model.publish(desired(build, line=line))

    assert sorted(image.build_id for image in model.images.values()) == ["b2", "b3"]


def test_the_release_to_roll_back_to_is_kept_rather_than_newer_ones(model: Model) -> None:
    for build in ("b1", "b2", "b3"):
        model.publish(desired(build))
    model.rollback("b1")
    model.publish(desired("b4", line=dataclasses.replace(LINE, keep=1)))

    assert sorted(image.build_id for image in model.images.values()) == ["b1", "b4"]


@pytest.mark.parametrize(
    ("in_use", "why"),
    [(None, "we may not see all servers"), ("b1", "a server uses it")],
)
def test_a_release_that_may_be_in_use_is_hidden(model: Model, in_use: str | None, why: str) -> None:
    for build in ("b1", "b2", "b3"):
        model.publish(desired(build))
    ids = {image.build_id: image.id for image in model.images.values()}
    model.in_use = None if in_use is None else frozenset({ids[in_use]})

    plan = model.publish(desired("b4"))

    assert Kind.delete not in kinds(plan)
    assert any("golden-b1 is hidden, not deleted" in note and why in note for note in plan.notes)


def test_an_image_that_somebody_protected_is_never_deleted(model: Model) -> None:
    for build in ("b1", "b2", "b3"):
        model.publish(desired(build))
    first = next(image for image in model.images.values() if image.build_id == "b1")
    model.set(first.id, protected=True)

    plan = model.publish(desired("b4"))

    assert first.id in model.images
    assert plan.notes == ("golden-b1 is hidden, not deleted: it is protected",)


def test_our_protection_moves_with_the_alias(model: Model) -> None:
    line = dataclasses.replace(LINE, protected=True, keep=1)
    for build in ("b1", "b2", "b3"):
        model.publish(desired(build, line=line))

    assert {i.build_id: i.protected for i in model.images.values()} == {"b2": False, "b3": True}


def test_old_releases_are_deactivated_except_the_one_to_roll_back_to(model: Model) -> None:
    line = dataclasses.replace(LINE, retired=Retired.deactivated)
    for build in ("b1", "b2", "b3"):
        model.publish(desired(build, line=line))

    assert {i.build_id: i.status for i in model.images.values()} == {
        "b1": "deactivated", "b2": "active", "b3": "active",
    }  # fmt: skip
    plan = model.rollback("b1")
    assert kinds(plan)[0] is Kind.activate
    assert model.holder() == "b1"


# Settings


def test_properties_that_the_spec_no_longer_has_are_removed_and_others_left_alone(model: Model) -> None:
    model.publish(desired("b1", properties={"os_distro": "debian", "hw_disk_bus": "virtio"}))
    image = next(iter(model.images.values()))
    model.set(image.id, properties={**image.properties, "somebodys": "own"})

    plan = model.publish(desired("b1", properties={"os_distro": "fedora"}))

    assert kinds(plan) == [Kind.change]
    properties = next(iter(model.images.values())).properties
    assert {k: v for k, v in properties.items() if not k.startswith(release.PREFIX)} == {
        "os_distro": "fedora", "somebodys": "own",
    }  # fmt: skip


def test_tags_are_added_and_those_of_others_kept(model: Model) -> None:
    model.publish(desired("b1"))
    image = next(iter(model.images.values()))
    model.set(image.id, tags=image.tags | {"theirs"})

    model.publish(desired("b1", tags=frozenset({"nightly"})))

    assert model.images[image.id].tags == {"goldsmith", "theirs", "nightly"}


def test_an_image_is_shared_with_projects_and_no_longer_shared(model: Model) -> None:
    shared = desired("b1", visibility=Visibility.shared, members=frozenset({"a", "b"}))
    plan = model.publish(shared)
    assert [action.detail for action in plan.actions if action.kind is Kind.offer] == ["a", "b"]
    assert kinds(plan)[-1] is Kind.change  # the alias moves when all else is done

    plan = model.publish(dataclasses.replace(shared, members=frozenset({"b"})))

    assert [(a.kind, a.detail) for a in plan.actions] == [(Kind.withdraw, "a")]


# What is refused


def test_the_name_of_a_foreign_image_is_not_taken(model: Model) -> None:
    model.publish(desired("b1"))
    theirs = dataclasses.replace(
        next(iter(model.images.values())), id="x", owner="p2", tags=frozenset(), properties={}
    )
    model.foreign = (theirs,)

    refusal = "golden belongs to another image, x of the project p2"
    with pytest.raises(PublishError, match=refusal):
        model.publish(desired("b2"))
    with pytest.raises(PublishError, match=refusal):
        model.rollback()


def test_a_rollback_is_refused_while_a_publication_is_running(model: Model) -> None:
    model.publish(desired("b1"))
    model.publish(desired("b2"))
    plan = planner.publish(model.state(), desired("b3"))
    model.do(plan.actions[0], plan)
    model.interrupted_runs = frozenset()

    with pytest.raises(PublishError, match="somebody else has been publishing b3 under golden"):
        model.rollback()


def test_a_rollback_keeps_visibility_and_shares(model: Model) -> None:
    model.publish(desired("b1"))
    model.publish(desired("b2", visibility=Visibility.shared, members=frozenset({"p2"})))

    plan = planner.rollback(
        model.state(), LINE, visibility=Visibility.shared, members=frozenset({"p2", "p3"})
    )

    assert kinds(plan)[:4] == [Kind.check, Kind.change, Kind.offer, Kind.offer]
    assert plan.actions[1].changes == {"visibility": ("private", "shared")}
    assert "name" in plan.actions[5].changes


def test_shares_are_withdrawn_only_from_what_is_shared(model: Model) -> None:
    model.publish(desired("b1", visibility=Visibility.shared, members=frozenset({"p2"})))

    plan = model.publish(desired("b1", visibility=Visibility.public))

    assert kinds(plan) == [Kind.change]


def test_an_old_release_that_was_deactivated_is_activated_to_be_published_again(model: Model) -> None:
    line = dataclasses.replace(LINE, retired=Retired.deactivated)
    for build in ("b1", "b2", "b3"):
        model.publish(desired(build, line=line))

    plan = model.publish(desired("b1", line=line))

    assert kinds(plan)[:2] == [Kind.activate, Kind.check]
    assert model.holder() == "b1"


def test_an_image_that_was_just_checked_is_not_checked_again(model: Model) -> None:
    plan = planner.publish(model.state(), desired("b1", canary=Canary.download))
    for action in plan.actions[:5]:
        model.do(action, plan)

    again = planner.publish(model.state(), desired("b1", canary=Canary.download), checked=plan.target.id)

    assert kinds(again) == [Kind.history, Kind.change]
    assert Kind.canary in kinds(planner.publish(model.state(), desired("b1", canary=Canary.download)))


def test_a_build_that_glance_has_converted_is_recognized(model: Model) -> None:
    model.publish(desired("b1"))
    image = next(iter(model.images.values()))
    model.set(image.id, disk_format="raw")

    assert model.publish(desired("b1")).actions == ()


def test_a_publication_is_refused_while_another_is_running(model: Model) -> None:
    plan = planner.publish(model.state(), desired("b1"))
    model.do(plan.actions[0], plan)
    model.interrupted_runs = frozenset()  # another machine's, who knows whether it lives

    for build in ("b1", "b2"):
        with pytest.raises(PublishError, match="somebody else has been publishing b1 under golden"):
            planner.publish(model.state(), desired(build))


def test_a_dead_publication_of_ours_does_not_make_anothers_image_of_the_same_id_dead(model: Model) -> None:
    """We were killed before we created it, and another machine has taken the number since."""
    theirs = planner.publish(model.state(), desired("b1"), run="theirs")
    model.do(theirs.actions[0], theirs)
    model.interrupted_runs = frozenset({"ours"})

    with pytest.raises(PublishError, match="somebody else has been publishing b1 under golden"):
        planner.publish(model.state(), desired("b1"), run="ours, again")


def test_an_image_older_than_any_publication_takes_is_a_leftover(model: Model) -> None:
    plan = planner.publish(model.state(), desired("b1"))
    model.do(plan.actions[0], plan)
    model.interrupted_runs = frozenset()
    old = NOW - planner.STALE - datetime.timedelta(seconds=1)
    model.set(plan.target.id, created=old.isoformat())

    assert [each.id for each in inventory.leftovers(model.state())] == [plan.target.id]
    model.publish(desired("b2"))
    assert [image.build_id for image in model.images.values()] == ["b2"]


def test_an_image_stuck_in_its_upload_is_not_resumed(model: Model) -> None:
    plan = planner.publish(model.state(), desired("b1"))
    model.do(plan.actions[0], plan)
    model.set(plan.target.id, status="saving")

    again = planner.publish(model.state(), desired("b1"))

    assert kinds(again)[:2] == [Kind.delete, Kind.create]
    assert again.target.number == 2


def test_orphans_are_interrupted_publications_and_records_without_a_release(model: Model) -> None:
    model.publish(desired("b1"))
    plan = planner.publish(model.state(), desired("b2"))
    for action in plan.actions[:4]:
        model.do(action, plan)
    half = dataclasses.replace(plan.target, id="half", created=NOW.isoformat())
    found = dataclasses.replace(model.state(), unfinished_records=(half,))

    left = {(each.kind, each.id) for each in inventory.leftovers(found)}

    assert left == {("image", plan.target.id), ("record", "half"), ("record", "record-b2")}
    alive = dataclasses.replace(found, interrupted_runs=frozenset())
    assert inventory.leftovers(alive) == []
    assert len(inventory.leftovers(alive, everything=True)) == 3


def interrupt(model: Model, build: str) -> int:
    """A publication is interrupted, and its leftover deleted; the number that Glance never gives again."""
    plan = planner.publish(model.state(), desired(build))
    model.do(plan.actions[0], plan)
    model.images.pop(plan.target.id)
    return plan.target.number


def publish_after(model: Model, number: int, build: str) -> None:
    plan = planner.publish(model.state(), desired(build), number=number + 1)
    for action in plan.actions:
        model.do(action, plan)


def test_numbers_that_interrupted_publications_used_up_are_named(model: Model) -> None:
    publish_after(model, interrupt(model, "b1"), "b1")  # the very first publication
    publish_after(model, interrupt(model, "b2"), "b3")
    staged = planner.publish(model.state(), desired("b4"))
    model.do(staged.actions[0], staged)

    assert sorted(image.number for image in model.images.values()) == [2, 4, 5]
    assert inventory.used_up(model.state(), LINE) == (1, 3)


def test_numbers_of_deleted_releases_were_not_used_up(model: Model) -> None:
    for build in ("b1", "b2", "b3", "b4", "b5"):
        model.publish(desired(build))
    assert sorted(image.number for image in model.images.values()) == [3, 4, 5]

    assert inventory.used_up(model.state(), LINE) == ()
    model.images = {key: image for key, image in model.images.items() if image.number != 4}
    assert inventory.used_up(model.state(), LINE) == ()  # held the alias before 5
    model.set(next(key for key, image in model.images.items() if image.number == 5), properties={
        **model.images[release.image_id(PROJECT, "golden", 5)].properties, release.PREVIOUS: "",
    })  # fmt: skip
    assert inventory.used_up(model.state(), LINE) == (4,)
    assert inventory.used_up(model.state(), LINE, known={4}) == ()
    assert inventory.used_up(Model().state(), LINE) == ()


def test_each_move_of_the_alias_is_kept_a_rollback_too(model: Model) -> None:
    model.publish(desired("b1"))
    model.publish(desired("b2"))
    model.publish(desired("b2"))  # changes nothing
    model.rollback()
    model.publish(desired("b3"))
    model.publish(desired("b4"))  # b1 is gone by now

    assert "b1" not in {image.build_id for image in model.images.values()}
    assert model.moves() == [
        (1, "publish", "b1", ""), (2, "publish", "b2", "b1"), (3, "rollback", "b1", "b2"),
        (4, "publish", "b3", "b1"), (5, "publish", "b4", "b3"),
    ]  # fmt: skip


@pytest.mark.parametrize("cut", range(4))
def test_a_move_counts_from_the_call_that_moves_the_alias(model: Model, cut: int) -> None:
    model.publish(desired("b1"))
    model.publish(desired("b2"))
    plan = planner.rollback(model.state(), LINE)
    assert kinds(plan) == [Kind.check, Kind.history, Kind.change, Kind.change]
    for action in plan.actions[:cut]:
        model.do(action, plan)
    holder = release.holder(model.images.values(), LINE.alias)
    assert holder is not None
    moved = plan.target.id in {i.id for i in model.images.values() if i.name == LINE.alias}

    assert [move[0] for move in model.moves()] == ([1, 2, 3] if moved else [1, 2])
    model.publish(desired("b3"))
    assert model.moves()[-1] == (4 if moved else 3, "publish", "b3", "b2")
    assert len(model.moves()) == (4 if moved else 3)


def test_an_interrupted_move_to_the_image_that_had_the_latest_one_does_not_count(model: Model) -> None:
    model.publish(desired("b1"))
    holder = next(iter(model.images))
    model.set(holder, hidden=True)  # by hand
    plan = planner.publish(model.state(), desired("b1"))
    for action in plan.actions[: kinds(plan).index(Kind.history) + 1]:
        model.do(action, plan)

    assert model.moves() == [(1, "publish", "b1", "")]
    model.publish(desired("b1"))
    assert [move[0] for move in model.moves()] == [1, 2]


def test_since_when_and_by_whom_is_known_unless_somebody_moved_it_by_hand(model: Model) -> None:
    model.publish(desired("b1"))
    model.publish(desired("b2"))
    model.rollback()

    def found() -> tuple[str | None, moves.Move | None]:
        images = list(model.images.values())
        holder = release.holder(images, LINE.alias)
        assert holder is not None
        return moves.of_holder(holder, images, moves.history(images, model.histories))

    since, move = found()
    assert since == "2026-03-01T12:00:00Z"
    assert move is not None
    assert (move.number, move.kind, move.before) == (3, "rollback", "b2")
    model.histories = {}
    assert found() == (since, None)
    one, other = sorted(model.images.values(), key=lambda image: image.build_id)
    model.set(one.id, name="golden-b1", hidden=True)
    model.set(other.id, name="golden", hidden=False)
    assert found() == (None, None)


def test_a_plan_reads_as_a_diff(model: Model) -> None:
    model.publish(desired("b1"))
    plan = planner.publish(model.state(), desired("b2"))

    lines = [line for action in plan.actions for line in action.lines()]

    assert lines[0].startswith("+ create     golden-b2 ")
    assert "      name: golden -> golden-b1" in lines


def test_a_plan_as_json(model: Model) -> None:
    model.publish(desired("b1"))
    plan = planner.publish(model.state(), desired("b2"))
    results = [
        CloudResult(cloud="prod", plan=plan), CloudResult(cloud="edge", error=PublishError("edge is down")),
    ]  # fmt: skip

    answer = answers.planned(results).as_dict()

    prod, edge = answer["clouds"]
    assert (answer["schema"], answer["version"]) == ("goldsmith.publish-plan", 1)
    assert prod.keys() == {"cloud", "seconds", "error", "image", "actions", "notes"}
    assert prod["actions"][0].keys() == {"action", "image", "label", "detail", "changes"}
    assert prod["actions"][0]["action"] == "create"
    assert {"before": "golden", "after": "golden-b1"} in [
        change["name"] for each in prod["actions"] if "name" in (change := each["changes"])
    ]
    assert edge == {"cloud": "edge", "seconds": 0.0, "error": "edge is down"}
