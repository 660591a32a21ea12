"""Holds end by what is seen, and recovery is waited for longer than is promised; in a control it is not."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from errno import ENOSPC
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from chaos.clusters.base import EXISTING, SIMULATED, ClusterRef, Node
from chaos.clusters.shape import Shape, Timers
from chaos.errors import OrdealError
from chaos.harm.base import FaultError, inject
from chaos.judge.base import Invariant, Verdict, held, judge, violated
from chaos.judge.pods import nothing_terminated
from chaos.judge.start import STARTED
from chaos.record import evidence
from chaos.record.evidence import Piece
from chaos.record.given import LimitGiven, SetAside
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.record.records import HarmLook, NodeChange, Observation, Phase, Sample
from chaos.run import lab as module
from chaos.run import stage, steady
from chaos.run.chance import hold_for_eviction
from chaos.run.fit import fit_nodes
from chaos.run.lab import Lab
from chaos.run.own import Own
from chaos.run.promised import nodes_of
from chaos.run.stage import LacksAbilityError
from tests.harm.made_up import SHORT_S, Harm, raises
from tests.judge.histories import pod
from tests.run.labs import a_lab, story

UNREACHABLE = "node.kubernetes.io/unreachable:NoExecute"


def made(
    tmp_path: Path, control: str | None = None, pool: object = None, journal: object = None
) -> tuple[Lab, History]:
    """A lab that records into a history in memory, and has no cluster."""
    lab = a_lab(tmp_path, story(), control=control, is_suite=False, pool=pool, journal=journal)
    history = lab._history = History()
    return lab, history


def said(history: History, name: str) -> list[str]:
    return [o.seen for o in history.of(Observation) if o.name == name]


def after(times: int) -> Callable[[], bool]:
    """False so many times, then true."""
    asked: list[bool] = []

    def condition() -> bool:
        asked.append(True)
        return len(asked) > times

    return condition


def test_a_workload_that_does_not_become_ready_leaves_evidence_of_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Never:
        name = "web"

        def deploy(self, cluster: object, run: str, namespace: str) -> NoReturn:
            raise OrdealError("it was not Ready")

    lab, _ = made(tmp_path, journal=SimpleNamespace(planned=lambda *_: None))
    lab.stage._cluster = SimpleNamespace(ref=ClusterRef("kind", "c", ""), nodes=lambda: [SimpleNamespace(name="n1")])
    taken: list[tuple[Sequence[str], str]] = []

    def collect(_: object, nodes: Sequence[str], where: Path, *, since_wall: float) -> tuple[Piece, ...]:
        taken.append((nodes, where.name))
        return (Piece("pods.json", where / "pods.json"),)

    monkeypatch.setattr(evidence, "collect", collect)
    with pytest.raises(OrdealError, match="not Ready"):
        lab.deploy(Never())
    assert taken == [(("n1",), "0-deploy-web")]
    assert [piece.name for piece in lab.evidence] == ["pods.json"]


def node(name: str, ready: str = "True", *taints: str, control_plane: bool = False) -> Node:
    return Node(name, control_plane, ready, "10.0.0.1", "", taints)


THEIRS = (
    node("cp1", "True", "node-role.kubernetes.io/control-plane:NoSchedule", control_plane=True),
    node("cp2", "Unknown", control_plane=True),
    node("w1"),
    node("w2", "False"),
    node("w3", "True", "node.kubernetes.io/unschedulable:NoSchedule"),
)


@pytest.mark.parametrize(
    ("kind", "aside"),
    [
        (SIMULATED, {}),
        (
            EXISTING,
            {
                "cp2": "is not Ready (Ready is Unknown)",
                "w2": "is not Ready (Ready is False)",
                "w3": "has the taint node.kubernetes.io/unschedulable:NoSchedule",
            },
        ),
    ],
)
def test_what_was_the_matter_with_somebody_elses_nodes_before_is_not_waited_for_nor_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, aside: dict[str, str]
) -> None:
    cluster: Any = SimpleNamespace(ref=ClusterRef(kind, "c", ""), nodes=lambda: THEIRS)
    lab, _ = made(tmp_path)
    monkeypatch.setattr(lab.stage, "cluster", lambda _: cluster)
    lab.stage._cluster = lab.cluster(Shape())
    assert lab.nodes_ready() is bool(aside)
    assert lab.facts == {f"{name} is set aside": f"it {why}" for name, why in aside.items()}
    assert {each.name for each in fit_nodes(cluster)} == {each.name for each in THEIRS} - aside.keys()
    history = lab._judging.recording(lab.stage.aside)
    for each in THEIRS:
        history.add(NodeChange(0.1, each.name, "listed", each.ready, taints=each.taints, zone=""))
    history.close()
    assert {each.node: each.why for each in history.of(SetAside)} == aside
    assert set(nodes_of(history)) == {each.name for each in THEIRS} - aside.keys()


class _Deploys:
    name = "web"

    def deploy(self, cluster: object, run: str, namespace: str) -> SimpleNamespace:
        return SimpleNamespace(namespace=namespace)


@pytest.mark.parametrize("workload", [None, _Deploys()], ids=["no workload", "a workload"])
def test_pods_that_are_started_afterwards_are_where_the_journal_knows_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workload: _Deploys | None
) -> None:
    """Not in `default`: what a killed run left there nobody would ever remove."""
    planned: list[str] = []
    journal = SimpleNamespace(planned=lambda _kind, _ref, saved: planned.append(saved["namespace"]))
    lab, history = made(tmp_path, journal=journal)
    cluster: Any = SimpleNamespace(
        ref=ClusterRef(SIMULATED, "c", ""), nodes=lambda: [node("w1"), node("w2")], api=lambda: nullcontext(None)
    )
    lab.stage._cluster = cluster
    history.add(SetAside(0.0, "w2", "is cordoned"))
    created: list[str] = []

    def create(_core: object, namespace: str, _labels: object) -> None:
        assert namespace in planned, "a run that is killed now has to know of it"
        created.append(namespace)

    def start(_cluster: object, namespace: str, node: str, *, within_s: float) -> float:
        assert (node, within_s > 0) == ("w1", True)
        started.append(namespace)
        return 1.0

    started: list[str] = []
    monkeypatch.setattr(stage, "create_namespace", create)
    monkeypatch.setattr(steady, "start_pod", start)
    if workload:
        lab.deploy(workload)  # type: ignore[arg-type]
    lab.start_new_pods()
    lab.start_new_pods()
    assert started == planned * 2
    assert planned[0].startswith("ordeal-web-" if workload else "ordeal-pods-")
    assert created == ([] if workload else planned)
    assert [each.name for each in history.of(Sample)] == [STARTED] * 2


@pytest.mark.parametrize("left", ["", "specs have left a namespace"])
@pytest.mark.parametrize(("on", "removed"), [(EXISTING, ["ours"]), (SIMULATED, [])])
def test_what_we_put_on_a_users_cluster_goes_though_a_node_of_it_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on: str, removed: list[str], left: str
) -> None:
    """One that was made for us goes with all that is on it."""
    gone, undone, spoiled = list[str](), list[int](), list[str]()
    monkeypatch.setattr(stage, "SOUND_WITHIN_S", SHORT_S)
    monkeypatch.setattr(stage, "remove_namespace", lambda _, namespace: gone.append(namespace))
    lab = a_lab(
        tmp_path,
        story(),
        on=on,
        journal=SimpleNamespace(undone=undone.append),
        pool=SimpleNamespace(do_not_reuse=spoiled.append),
    )
    cluster: Any = SimpleNamespace(ref=ClusterRef(on, "c", ""), nodes=lambda: [node("w1", "Unknown")])
    lab.stage._cluster, lab.stage._deployed = cluster, [(cluster, "ours", 7)]
    lab.stage.clean_up(left)
    assert (gone, undone, spoiled) == (removed, [7], [on])


@pytest.mark.parametrize("how", [Lab.configured, Lab.inject])
@pytest.mark.parametrize(("does", "is_spoiled"), [({"undone": bool}, True), ({"apply": raises(OSError("no"))}, False)])
def test_a_cluster_whose_harm_stays_is_not_used_again_though_its_nodes_are_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any, does: dict[str, Callable[[], Any]], is_spoiled: bool
) -> None:
    spoiled: list[str] = []
    monkeypatch.setattr(module, "inject", partial(inject, landing_within_s=SHORT_S, undone_within_s=SHORT_S))
    monkeypatch.setattr(evidence, "collect", lambda *_, **__: ())
    with Journal(tmp_path / "run.jsonl") as journal:
        lab, _ = made(tmp_path, pool=SimpleNamespace(do_not_reuse=spoiled.append), journal=journal)
        lab.stage._cluster = SimpleNamespace(ref=ClusterRef(SIMULATED, "c", ""), nodes=list)
        with pytest.raises(FaultError), how(lab, Harm(does)):
            pass
        lab.clean_up()
    assert spoiled == [SIMULATED] * is_spoiled


def test_what_the_users_own_limits_allow_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(module, "eventually", lambda _, *, within_s, what: waited.append(within_s))
    for argument in ("within_s", "limit_s"):
        limit = LimitGiven(0.0, "nodes_ready_again", argument, 900.0)
        for control in (None, "bad"):
            lab = a_lab(tmp_path, story(), control=control, is_suite=False, own=Own(limits=(limit,)))
            lab.recover(lambda: True, within_s=60.0, what="it to be well")
    assert waited == [900.0 + module.LATE_S, 900.0, 60.0 + module.LATE_S, 60.0]


def test_evidence_of_a_fault_that_is_done_again_takes_nobodys_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def collect(_: object, _nodes: Sequence[str], where: Path, *, since_wall: float) -> tuple[Piece, ...]:
        where.mkdir(parents=True)
        return (Piece("pods.json", where / "pods.json"),)

    monkeypatch.setattr(evidence, "collect", collect)
    lab, _ = made(tmp_path)
    lab.stage._cluster = SimpleNamespace(nodes=list)
    for _ in range(3):
        lab.take_evidence("turn-clock", since_wall=0.0)
    folders = [piece.path.parent.name for piece in lab.evidence if piece.path is not None]
    assert folders == ["0-turn-clock", "0-turn-clock-2", "0-turn-clock-3"]


def test_why_nothing_came_to_be_is_told_also_without_evidence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab, _ = made(tmp_path)

    def full(*_: object, **__: object) -> NoReturn:
        raise OSError(ENOSPC, "No space left on device")

    monkeypatch.setattr(lab, "take_evidence", full)
    lab._evidence_of_failure("deploy-web", 0.0)


def test_a_hold_ends_when_it_has_seen_what_it_waits_for(tmp_path: Path) -> None:
    lab, history = made(tmp_path)
    assert lab.hold_until(after(2), within_s=60, because="it is seen", every_s=0.01)
    assert said(history, "hold") == ["seen"]
    assert [(p.name, p.detail) for p in history.of(Phase)] == [("hold", "until it is seen, at most 60 s")]


def test_a_hold_in_vain_is_no_error_and_is_told(tmp_path: Path) -> None:
    lab, history = made(tmp_path)
    assert not lab.hold_until(lambda: False, within_s=0.05, because="it is seen", every_s=0.01)
    assert "waited 0.05 s for this to be seen: it is seen, in vain" in said(history, "hold")[0]


def test_a_hold_ends_when_the_harm_is_gone(tmp_path: Path) -> None:
    lab, history = made(tmp_path)
    history.add(HarmLook(0.0, "cut-off", 1, "there"))
    history.add(HarmLook(1.0, "cut-off", 1, "gone"))
    assert not lab.hold_until(lambda: False, within_s=60, because="it is seen", every_s=0.01)
    assert said(history, "hold") == ["the harm is gone"]


def test_a_control_holds_until_it_is_violated_for_its_own_reason(tmp_path: Path) -> None:
    lab, _ = made(tmp_path, "bad")

    def violated_for(why: str) -> Invariant:
        return Invariant("kept", lambda _: violated("no", reason=why))

    other, own = violated_for("another"), violated_for("broken")
    assert lab.hold_until_shown(own, within_s=60)
    assert not lab.hold_until_shown(other, within_s=0.05)
    assert lab.hold_until_shown(Invariant("beside", lambda _: violated("no", reason="another")), within_s=60)
    assert not lab.hold_until_shown(Invariant("kept", lambda _: held("yes")), within_s=0.05)


def test_where_nothing_hooks_in_no_specs_can_be_run(tmp_path: Path) -> None:
    lab, history = made(tmp_path)
    lab.stage._cluster = SimpleNamespace(ref=ClusterRef(SIMULATED, "c", ""))
    with pytest.raises(LacksAbilityError, match="no specs can be run by this lab"):
        lab.run_specs("before", history)


def test_nothing_is_judged_where_nothing_is_recorded(tmp_path: Path) -> None:
    lab, _ = made(tmp_path)
    lab._history = None
    with pytest.raises(OrdealError, match="nothing is being recorded"):
        lab.finding_now(Invariant("kept", lambda _: held("yes")))


def test_recovery_that_is_late_is_told_from_one_that_never_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LATE_S", 60.0)
    lab, history = made(tmp_path)
    assert lab.recover(lambda: True, within_s=5, what="all Ready")
    assert lab.recover(after(1), within_s=0.0, what="all Ready")
    assert said(history, "recovery")[0] == "recovered"
    assert said(history, "recovery")[1].startswith("recovered, late: after")
    monkeypatch.setattr(module, "LATE_S", 0.1)
    assert not lab.recover(lambda: False, within_s=0.0, what="all Ready")
    assert "in vain" in said(history, "recovery")[2]


def test_a_control_waits_no_longer_than_is_promised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE_S", 3600.0)
    lab, _ = made(tmp_path, "bad")
    assert not lab.recover(lambda: False, within_s=0.0, what="all Ready")


class _Cluster:
    shape = Shape(timers=Timers(monitor_grace_s=0, monitor_period_s=0, toleration_s=0))


def with_cluster(lab: Lab) -> Any:
    lab.stage._cluster = _Cluster()  # type: ignore[assignment]
    return lab


@pytest.mark.parametrize("tainted", [("w1", "w2"), ("w1",), ()])
def test_hardened_it_holds_until_every_node_was_tainted_past_the_toleration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tainted: tuple[str, ...]
) -> None:
    monkeypatch.setattr("chaos.run.chance.TOLD_S", 0.0)
    lab, history = made(tmp_path)
    for name in tainted:
        history.add(NodeChange(history.now(), name, "modified", "Unknown", (UNREACHABLE,)))
    seen = hold_for_eviction(with_cluster(lab), history, "web", ("w1", "w2"), within_s=0.3)
    assert seen == (tainted == ("w1", "w2"))


@pytest.mark.parametrize("deleted", [True, False])
def test_a_control_holds_until_a_pod_is_terminated(tmp_path: Path, deleted: bool) -> None:
    lab, history = made(tmp_path, "bad")
    history.add(pod(0.0, "a"))
    if deleted:
        history.add(pod(0.1, "a", "modified", deleting=True))
    assert hold_for_eviction(with_cluster(lab), history, "web", ("worker",), within_s=0.05) == deleted
    assert judge(nothing_terminated("web"), history).verdict is (Verdict.VIOLATED if deleted else Verdict.UNKNOWN)
