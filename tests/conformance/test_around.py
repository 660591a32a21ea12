"""When specs are run around a replay, when they are left out, and what is said then."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes import client as k8s

from chaos.basics.waiting import WaitedInVainError
from chaos.clusters.base import KIND, SIMULATED, ClusterRef, Node
from chaos.clusters.shape import Shape
from chaos.conformance import around, during, images, program
from chaos.conformance.around import SMALL_DISK, SpecsAround
from chaos.conformance.rounds import DEFAULT, Wish
from chaos.errors import OrdealError
from chaos.harm.base import Fault
from chaos.harm.node import PowerOff
from chaos.harm.scale import ScaleToZero
from chaos.judge.base import Verdict
from chaos.judge.catalogue import incidents
from chaos.judge.conformance import AFTER, BEFORE, DURING, FAILED, PASSED
from chaos.record.history import History
from chaos.record.records import FaultStep, Phase, SpecRun
from chaos.results.specs import SpecResult
from chaos.run.hook import CantRunSpecsError
from chaos.run.incident import Replay
from chaos.run.lab import CONFORMANCE, Lab
from chaos.run.promised import REPLAY
from chaos.run.stage import LacksAbilityError
from tests.run.labs import a_lab

SPEC = "[sig-apps] ReplicaSet should serve"
EVERYTHING = Wish((BEFORE, DURING, AFTER), asked=True)


class FakeRounds:
    """Runs one spec, which becomes what `states` says of that round."""

    states: dict[str, str]

    def __init__(self, _cluster: object, program: Any, specs: object, _directory: Path, _report: object) -> None:
        self.texts, self.results, self.version = (SPEC,), list[SpecResult](), program.version

    def run(self, when: str, history: History) -> None:
        state = self.states.get(when, PASSED)
        history.add(SpecRun(history.now(), when, SPEC, state, 3.0, "apps"))
        self.results.append(SpecResult("", when, "apps-x", SPEC, "apps", state, 3.0, self.version))


class FakeChecks:
    """What is checked during harm: one call, that is answered."""

    names = ("w1 reaches w2",)

    def __init__(self, _cluster: object, _talkers: object) -> None: ...

    def running(self, history: History, _fault: str) -> Any:
        history.add(SpecRun(1.5, DURING, self.names[0], PASSED, 0.1, "network"))
        return nullcontext()

    def rows(self, fault: str) -> tuple[SpecResult, ...]:
        return (SpecResult("", DURING, "w1-w2", f"{self.names[0]} ({fault})", "network", PASSED, 1.0),)


def _cluster(kind: str = KIND, shape: Shape | None = None) -> Any:
    return SimpleNamespace(
        ref=ClusterRef(kind, "fake", "kubeconfig"),
        shape=shape or Shape(),
        kubernetes="v1.34.4+vendor1",
        api=nullcontext,
        nodes=lambda: tuple(Node(n, n == "cp", "True", "", "", ()) for n in ("cp", "w1")),
    )


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions of which an e2e.test was built."""
    versions = ["1.34.4"]
    FakeRounds.states = {}
    monkeypatch.setattr(around, "server_version", lambda _: _cluster().kubernetes)
    monkeypatch.setattr(program, "find", lambda v: SimpleNamespace(version=v) if v in versions else None)
    monkeypatch.setattr(images, "provide", lambda *_, **__: None)
    monkeypatch.setattr(images, "agnhost", lambda *_, **__: "agnhost")
    monkeypatch.setattr(around, "chosen", lambda _: ())
    monkeypatch.setattr(around, "Rounds", FakeRounds)
    monkeypatch.setattr(during, "Checks", FakeChecks)
    monkeypatch.setattr(around, "upstreams_namespaces", lambda _: ())
    return versions


@pytest.fixture
def made(tmp_path: Path, built: list[str]) -> Iterator[Callable[[Wish], SpecsAround]]:
    each: list[SpecsAround] = []

    def make(wish: Wish) -> SpecsAround:
        each.append(SpecsAround(wish, lambda _: None, tmp_path / "replay", Phase(0.0, REPLAY, "made-up")))
        return each[-1]

    yield make
    for one in each:
        one.close()


def test_specs_are_run_once_a_round_and_judged_together(made: Callable[[Wish], SpecsAround]) -> None:
    c = made(EVERYTHING)
    assert c.judged_by() == ()
    assert [c.around(_cluster(), BEFORE), c.around(_cluster(), BEFORE), c.around(_cluster(), AFTER)] == [
        True,
        False,
        True,
    ]
    ((history, invariant),) = c.judged_by()
    judged = invariant.judge(history)
    assert (invariant.name, judged.verdict) == ("still-conforms", Verdict.HELD)
    assert judged.figures["passed_before"] == 1
    assert [r.round for r in c.results] == [BEFORE, AFTER]
    path = c.close()
    assert path is not None
    assert len(History.load(path)) == 3


def test_a_cluster_that_was_upgraded_is_tested_by_the_specs_of_its_new_version(
    made: Callable[[Wish], SpecsAround], built: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    c = made(Wish((BEFORE, AFTER), asked=True))
    assert c.around(_cluster(), BEFORE)
    monkeypatch.setattr(around, "server_version", lambda _: "v1.35.4")
    with pytest.raises(CantRunSpecsError, match=r"conformance build --kubernetes 1\.35\.4"):
        c.around(_cluster(), AFTER)
    built.append("1.35.4")
    c.not_run = ""
    assert c.around(_cluster(), AFTER)
    assert [(r.round, r.kubernetes) for r in c.results] == [(BEFORE, "1.34.4"), (AFTER, "1.35.4")]
    ((history, invariant),) = c.judged_by()
    assert invariant.judge(history).verdict is Verdict.HELD


def test_specs_of_a_version_to_come_are_missed_at_once(made: Callable[[Wish], SpecsAround]) -> None:
    with pytest.raises(CantRunSpecsError, match=r"conformance build --kubernetes 1\.35\.4"):
        made(EVERYTHING).check("1.35.4")
    made(EVERYTHING).check("1.34.4")
    made(DEFAULT).check("1.35.4")  # nobody asked for them: they are left out, and that is told


def test_an_api_server_that_does_not_answer_is_left_to_the_specs(
    made: Callable[[Wish], SpecsAround], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(_: object) -> str:
        raise OrdealError("the cluster does not answer")

    monkeypatch.setattr(around, "server_version", away)
    c = made(DEFAULT)
    assert c.around(_cluster(), AFTER)
    assert [r.kubernetes for r in c.results] == ["1.34.4"]


@pytest.mark.parametrize(("wish", "reason"), [(EVERYTHING, "no-longer-conforms"), (DEFAULT, "does-not-conform")])
def test_what_fails_after_harm_violates(made: Callable[[Wish], SpecsAround], wish: Wish, reason: str) -> None:
    c = made(wish)
    FakeRounds.states = {AFTER: FAILED}
    c.around(_cluster(), BEFORE)
    c.around(_cluster(), AFTER)
    ((history, invariant),) = c.judged_by()
    judged = invariant.judge(history)
    assert (judged.verdict, judged.reason) == (Verdict.VIOLATED, reason)


def test_a_round_that_ended_with_an_error_is_not_run_again_and_not_forgotten(
    made: Callable[[Wish], SpecsAround], monkeypatch: pytest.MonkeyPatch
) -> None:
    c = made(DEFAULT)

    def refuse(*_: object) -> None:
        raise CantRunSpecsError("the kubeconfig can't be read")

    monkeypatch.setattr(FakeRounds, "run", refuse)
    with pytest.raises(CantRunSpecsError):
        c.around(_cluster(), AFTER)
    assert not c.around(_cluster(), AFTER)
    ((history, invariant),) = c.judged_by()
    assert invariant.judge(history).verdict is Verdict.UNKNOWN


@pytest.mark.parametrize("when", [BEFORE, AFTER])
def test_what_specs_leave_behind_keeps_harm_away_and_the_cluster_from_the_next_replay(
    made: Callable[[Wish], SpecsAround], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    ended: list[tuple[str, int]] = []
    core = SimpleNamespace(
        delete_collection_namespaced_pod=lambda space, grace_period_seconds: ended.append((space, grace_period_seconds))
    )
    monkeypatch.setattr(k8s, "CoreV1Api", lambda _: core)
    monkeypatch.setattr(around, "upstreams_namespaces", lambda _: ("pods-1234",))
    monkeypatch.setattr(around, "GONE_WITHIN_S", 0.0)
    c = made(EVERYTHING)
    with pytest.raises(WaitedInVainError) if when == BEFORE else nullcontext():
        c.around(_cluster(), when)
    assert "specs' namespaces to be gone" in c.left
    assert ended == [("pods-1234", 0)]
    assert [r.round for r in c.results] == [when]


def test_without_a_wish_nothing_is_run_or_said(made: Callable[[Wish], SpecsAround]) -> None:
    c = made(Wish())
    assert not c.around(_cluster(), AFTER)
    assert (c.not_run, c.judged_by(), c.results, c.close()) == ("", (), (), None)


def test_an_e2e_test_that_is_not_built_is_said_and_an_error_only_where_it_was_asked_for(
    made: Callable[[Wish], SpecsAround], built: list[str]
) -> None:
    built.clear()
    c = made(DEFAULT)
    assert not c.around(_cluster(), AFTER)
    assert "conformance build --kubernetes 1.34.4" in c.not_run
    assert c.judged_by() == ()
    with pytest.raises(CantRunSpecsError, match=r"conformance build --kubernetes 1\.34\.4"):
        made(EVERYTHING).around(_cluster(), BEFORE)


def test_images_that_cannot_be_had_are_said_and_an_error_only_where_specs_were_asked_for(
    made: Callable[[Wish], SpecsAround], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "obstacle", lambda *_: "agnhost can't be had")
    c = made(DEFAULT)
    assert not c.around(_cluster(), AFTER)
    assert c.not_run == "agnhost can't be had"
    with pytest.raises(CantRunSpecsError, match=r"^agnhost can't be had$"):
        made(EVERYTHING).around(_cluster(), BEFORE)


@pytest.mark.parametrize("wish", [DEFAULT, EVERYTHING])
def test_simulated_nodes_run_no_pod(made: Callable[[Wish], SpecsAround], wish: Wish) -> None:
    c = made(wish)
    assert not c.around(_cluster(SIMULATED), AFTER)
    assert "simulated" in c.not_run


def test_a_file_system_that_the_next_replay_measures_is_left_alone_unless_asked(
    made: Callable[[Wish], SpecsAround],
) -> None:
    small = replace(Shape(), imagefs_bytes=3 * 1024**3)
    c = made(DEFAULT)
    assert not c.around(_cluster(shape=small), AFTER)
    assert c.not_run == SMALL_DISK
    assert made(EVERYTHING).around(_cluster(shape=small), AFTER)


@pytest.mark.parametrize(("harm", "checked"), [(PowerOff("cp"), True), (PowerOff("w1"), False), (ScaleToZero(), False)])
def test_during_harm_it_is_checked_what_is_documented(
    made: Callable[[Wish], SpecsAround], harm: Fault[Any], checked: bool
) -> None:
    c, history, deployed = made(EVERYTHING), History.of_records([]), list[object]()

    def deploy(talkers: object) -> Any:
        deployed.append(talkers)

    for step in ("planned", "applied", "landed"):
        history.add(FaultStep(1.0, harm.kind, step, ""))
    with c.during(harm, _cluster(), history, deploy):
        pass
    with c.during(harm, _cluster(), history, deploy):
        pass
    history.add(FaultStep(2.0, harm.kind, "undone", ""))
    assert len(deployed) == int(checked)
    found = c.judged_by()
    assert {i.name for _, i in found} == ({f"conforms-during-{harm.kind}"} if checked else set())
    assert [i.judge(h).verdict for h, i in found] == [Verdict.HELD] * checked


def test_nothing_is_checked_during_harm_unless_that_was_wished(made: Callable[[Wish], SpecsAround]) -> None:
    c, cluster = made(DEFAULT), _cluster()
    cluster.nodes = None  # an API server that is away is not asked
    with c.during(PowerOff("cp"), cluster, History(), lambda _: None):  # type: ignore[arg-type,return-value]
        pass
    assert c.judged_by() == ()


@pytest.fixture
def lab(tmp_path: Path, built: list[str]) -> Callable[..., Lab]:
    def make(wish: Wish, control: str | None = None) -> Lab:
        told = Replay(incidents()[0], (KIND,), (), (), "")
        hook = around.hook(wish, lambda _: None, control=control)
        made = a_lab(tmp_path / "replay", told, on=KIND, control=control, is_suite=False, around=hook)
        made.stage._cluster = _cluster()
        return made

    return make


def test_a_lab_judges_by_what_became_of_specs(lab: Callable[..., Lab]) -> None:
    made = lab(DEFAULT)
    FakeRounds.states = {AFTER: FAILED}
    made.conform_after()
    assert [(f.invariant, f.verdict) for f in made.findings] == [("still-conforms", Verdict.VIOLATED)]
    assert [f.history for f in made.findings] == made.histories
    (path,) = made.histories
    (begins,) = [phase.detail for phase in History.load(path).of(Phase) if phase.name == REPLAY]
    assert begins.endswith(", hardened, on kind, smoke")
    assert [s.state for s in made.specs.results] == [FAILED]
    assert made.specs.names == (SPEC,)
    assert CONFORMANCE not in made.facts


def test_around_a_control_and_without_a_wish_a_lab_runs_none(lab: Callable[..., Lab]) -> None:
    for made in (lab(EVERYTHING, incidents()[0].controls[0].id), lab(Wish())):
        made.conform_after()
        assert (made.findings, made.specs.results, made.facts, made.histories) == ([], (), {}, [])


def test_a_lab_says_what_it_left_out(lab: Callable[..., Lab], built: list[str]) -> None:
    built.clear()
    made = lab(DEFAULT)
    made.conform_after()
    assert str(made.facts[CONFORMANCE]).startswith("not run: e2e.test of Kubernetes 1.34.4 is not built")
    assert made.findings == []


def test_of_a_replay_that_runs_specs_itself_none_are_run_around_it(lab: Callable[..., Lab]) -> None:
    made, history = lab(DEFAULT), History()
    assert made.run_specs(BEFORE, history) == made.run_specs(AFTER, history) == (SPEC,)
    made.conform_after()
    assert [s.round for s in made.specs.results] == [BEFORE, AFTER]
    assert made.findings == []


def test_a_replay_that_needs_specs_is_skipped_where_there_are_none(lab: Callable[..., Lab], built: list[str]) -> None:
    built.clear()
    with pytest.raises(LacksAbilityError, match="conformance build"):
        lab(DEFAULT).run_specs(BEFORE, History())
