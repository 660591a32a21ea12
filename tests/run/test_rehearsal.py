"""A story is told up to its first harm, and nothing of it is done."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from chaos.clusters.abilities import (
    ABILITIES,
    ArmsNodes,
    LoadsImages,
    NodeExec,
    NodeNetwork,
    NodePause,
    NodePower,
    ReachesNodes,
    RunsContainers,
    missing,
)
from chaos.clusters.base import EXISTING, KIND, SIMULATED, ClusterRef, Images, Node
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.harm.network import CutOff
from chaos.harm.node import Pause
from chaos.harm.scale import ScaleToZero
from chaos.run.case import Case
from chaos.run.fit import fit_workers
from chaos.run.profile import PROFILES
from chaos.run.rehearsal import Harm, Rehearsed, Terms, rehearse, seen
from chaos.run.stage import LacksAbilityError
from chaos.run.suites import suites
from chaos.workloads.web import Web
from tests.run.labs import story

Told = Callable[[Any], object]
NODES = (
    Node("cp1", True, "True", "10.0.0.9", "", ()),  # noqa: FBT003
    *(Node(f"w{n}", False, "True", f"10.0.0.{n}", "", ()) for n in (1, 2)),  # noqa: FBT003
)
ON_NODES = (RunsContainers, NodeExec, NodeNetwork, NodePower, NodePause, ArmsNodes)


class There:
    """A cluster that nothing may be asked of but what it is."""

    ref, images, kubernetes = ClusterRef(EXISTING, "theirs", "/k"), Images("busybox"), "1.34.4"


def terms(abilities: tuple[type, ...] = ON_NODES, reached: tuple[str, ...] = (), **others: Any) -> Terms:
    there: Any = There()
    return Terms(
        PROFILES["smoke"],
        "1.34.4",
        existing=lambda shape: seen(there, shape, NODES, abilities, reached),
        make=lambda _: None,
        lacking_specs=lambda _: "",
        **others,
    )


def told(function: Told, on: str = EXISTING, control: str | None = None, **given: Any) -> Rehearsed:
    replay = given.pop("replay", None) or replace(story(), on=(KIND, SIMULATED), faults={"": (Pause,), "bad": (Pause,)})
    return rehearse(
        cast("Callable[[Any], None]", function), replay, Case(on, control), given.pop("terms", None) or terms(**given)
    )


def plain(lab: Any) -> Any:
    return lab.cluster(Shape(timers=lab.timers))


# --- how far it goes


@pytest.mark.parametrize("on", [KIND, SIMULATED])
def test_a_cluster_that_is_made_is_as_far_as_it_goes(on: str) -> None:
    def tells(lab: Any) -> None:
        lab.cluster(Shape(workers=5))
        pytest.fail("a cluster was made")

    assert told(tells, on) == Rehearsed(shape=Shape(workers=5))


def test_a_cluster_that_can_not_be_made_is_told() -> None:
    def can_not(kind: str) -> None:
        raise OrdealError(f"{kind} is not set up")

    assert told(plain, KIND, terms=replace(terms(), make=can_not)).fails == "kind is not set up"


def test_what_it_sets_up_and_its_first_harm_are_told_with_their_nodes() -> None:
    def tells(lab: Any) -> None:
        cluster = plain(lab)
        web = lab.deploy(Web(replicas=6))
        assert (web.name, web.replicas, lab.image("redis")) == ("web", 6, "mine")
        with lab.configured(Pause("w2")), lab.record(probe=web), lab.inject(CutOff(("w1",), ("cp1",))):
            cluster.nodes()
            pytest.fail("who is harmed is not looked at")

    found = told(tells, images={"redis": "mine"})
    assert found.harm == (
        Harm("pause", {"node": "w2", "objects": []}),
        Harm("cut-off", {"nodes": ("w1",), "addresses": ("10.0.0.9",)}),
    )
    assert (found.skipped, found.fails) == ("", "")


def test_a_plan_that_only_the_cluster_could_tell_is_read_of_the_faults_fields() -> None:
    def tells(lab: Any) -> None:
        plain(lab)
        with lab.record(), lab.inject(ScaleToZero()):
            pass

    (harm,) = told(tells).harm
    assert harm.saved["objects"] == [{"namespace": "kube-system"}]


STORIES: dict[str, Told] = {
    "a hold": lambda lab: lab.hold(1, "on purpose"),
    "the API": lambda lab: plain(lab).api(),
    "a command": lambda lab: plain(lab).node_exec("w1", ["reboot"]),
    "a cluster in a thread": lambda lab: lab.apart("x"),
    "a journal": lambda lab: lab.means.journal.planned("x", None, {}),
    "a stage": lambda lab: lab.stage.remove_workloads(),
    "a deployment": lambda lab: (plain(lab), lab.deploy(Web()).ready()),
    "a mistake": lambda lab: lab.profile / 0,
}


@pytest.mark.parametrize("what", STORIES)
def test_whatever_would_be_done_ends_it(what: str) -> None:
    def tells(lab: Any) -> None:
        STORIES[what](lab)
        pytest.fail("it went on")

    found = told(tells)
    assert (found.skipped, found.fails, found.harm) == ("", "", ())


def test_what_it_puts_away_at_its_end_is_not_done() -> None:
    done = []

    def tells(lab: Any) -> None:
        cluster = plain(lab)
        try:
            lab.hold(1, "on purpose")
        finally:
            cluster.api()
            done.append("deleted")

    assert told(tells) == Rehearsed(shape=Shape(timers=PROFILES["full"].kind_timers))
    assert not done


# --- what keeps it away


def test_reasons_are_those_of_a_run() -> None:
    flags = "an existing cluster is taken as it is, and this replay needs other flags"
    assert told(lambda lab: lab.cluster(Shape(max_pods=600, timers=lab.timers))).skipped == flags
    needy = replace(story(), needs=(NodePower,))
    without = told(plain, replay=needy, abilities=()).skipped
    assert without.startswith("made-up needs NodePower, which this cluster does not have")
    for_good = "it is upgraded, which can't be taken back: it takes a cluster of its own"
    assert told(lambda lab: (plain(lab), lab.change_for_good("it is upgraded", "1"))).skipped == for_good
    few = told(
        lambda lab: fit_workers(plain(lab), least=2), abilities=(*ON_NODES, ReachesNodes), reached=("w2",)
    ).skipped
    assert few.endswith("there are 1: w1 has no node agent: the guard does not allow it to be harmed")
    assert told(lambda _: pytest.skip("not today")).skipped == "not today"
    none = replace(terms(), lacking_specs=lambda version: f"none of {version}")
    assert told(lambda lab: (plain(lab), lab.run_specs("before", None)), terms=none).skipped == "none of 1.34.4"


def test_what_is_wrong_is_no_reason_to_skip() -> None:
    def wrong(_: object) -> None:
        raise OrdealError("this can't be")

    def lacks(_: object) -> None:
        raise LacksAbilityError("not here")

    assert told(wrong) == Rehearsed(fails="this can't be")
    assert told(lacks) == Rehearsed(skipped="not here")
    unable = told(lambda lab: (plain(lab), lab.configured(Pause("w1")).__enter__()), abilities=(NodeNetwork,))
    assert unable.fails.startswith("pause needs a cluster with NodePower, NodePause; clusters of the kind existing")
    undeclared = told(lambda lab: (plain(lab), lab.configured(CutOff((), ())).__enter__()))
    assert "its mark has to say so" in undeclared.fails


def test_it_has_the_abilities_that_it_is_said_to_have() -> None:
    there: Any = There()
    every = tuple(each.__name__ for each in ABILITIES)
    assert missing(seen(there, Shape(), NODES, ()), ABILITIES) == every
    assert missing(seen(there, Shape(), NODES, ABILITIES), ABILITIES) == ()
    assert missing(seen(there, Shape(), NODES, ON_NODES), (*ON_NODES, ReachesNodes)) == ("ReachesNodes",)


# --- the suites


def test_no_suite_fails_to_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine that has all, and a cluster that can do all."""
    for each in ("obstacle", "lacking_part", "lacking_image"):
        monkeypatch.setattr(f"chaos.run.stage.{each}", lambda *_, **__: "")
    given = terms(ABILITIES, ("w1", "w2"), storage_class="theirs", upgrade_to="none")
    harmed = set[str]()
    for suite in suites():
        for on in (*suite.replay.on, *([EXISTING] if KIND in suite.replay.on else [])):
            for control in (None, *suite.replay.controls):
                found = rehearse(suite.function, suite.replay, Case(on, control), given)
                assert not found.fails, (suite.test, on, control)
                harmed.update(each.fault for each in found.harm)
    assert {"cut-off", "rename-node", "scale-to-zero", "swap-program"} <= harmed


def test_no_suite_asks_an_engine_for_a_cluster_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    given = terms(tuple(each for each in ABILITIES if each is not LoadsImages), ("w1", "w2"))
    told_on = [each for each in suites() if {KIND, EXISTING} & {*each.replay.on}]
    found = {each.test: rehearse(each.function, each.replay, Case(EXISTING, None), given) for each in told_on}
    assert {test: each.fails for test, each in found.items() if each.fails} == {}
    (upgrade,) = [each for test, each in found.items() if "in_place" in test]
    assert "it takes a cluster of its own" in upgrade.skipped


@pytest.mark.parametrize(
    ("test", "says"),
    [
        ("test_the_links_between_nodes_are_alike", ""),  # three nodes have three links
        ("test_a_bad_link_is_found", "it needs 4 nodes that are Ready and in use; there are 3: there is no other node"),
        (
            "test_redis_keeps_what_replicas_have_confirmed",
            "it needs 3 workers that are Ready, take pods and may be harmed",
        ),
    ],
)
def test_a_cluster_with_too_few_nodes_is_a_reason_to_skip(test: str, says: str) -> None:
    (suite,) = [each for each in suites() if each.test.endswith(f"::{test}")]
    given = terms((*ON_NODES, ReachesNodes), ("w1", "w2"), images={"redis": "mine", "iperf3": "mine"})
    found = rehearse(suite.function, suite.replay, Case(EXISTING, None), given)
    assert found.skipped.startswith(says)
    assert (not found.skipped) == (not says)
    assert found.fails == ""
