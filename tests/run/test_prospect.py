"""What a run would make of a replay on an existing cluster: what is read of it, what its owner allows, what lacks.

The cluster is an API server that answers by real HTTP.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from chaos.clusters.abilities import NodeExec, NodeNetwork, NodePower
from chaos.clusters.base import EXISTING, KIND
from chaos.clusters.shape import Shape
from chaos.clusters.way import transport
from chaos.errors import OrdealError
from chaos.harm.network import CutOff
from chaos.harm.node import Pause, PowerOff
from chaos.harm.scale import ScaleToZero
from chaos.harm.uses import Capability, Uses
from chaos.hosts import extras, parts, registry
from chaos.hosts.parts import FIREWALL
from chaos.judge.pods import no_container_restarted, nothing_terminated
from chaos.run.case import Case
from chaos.run.claim import Claim
from chaos.run.fit import fit_workers
from chaos.run.ground import Ground, look
from chaos.run.incident import Replay
from chaos.run.policy import DAYS, HALT, POLICY, PodsReady, Policy, Url, written
from chaos.run.pool import Wishes
from chaos.run.profile import PROFILES
from chaos.run.promised import Conditions, Judged, judged, says
from chaos.run.prospect import Fate, Need, Prospect, doings, first_sentence, promised, prospect
from chaos.run.rehearsal import Terms
from chaos.subjects.pleg.faults import DeletePods, StallRuntime
from tests.fake_apiserver import FakeApiServer
from tests.run.labs import story

ANOTHER_DAY = f"{DAYS[(datetime.now(UTC).weekday() + 3) % 7]} 00:00-00:01"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeApiServer]:
    """A control plane and three workers, two of which may be harmed."""
    monkeypatch.setattr(registry, "busybox", lambda: "busybox@sha256:1")
    monkeypatch.setattr(parts.Part, "lacks", lambda _: "")
    with FakeApiServer(tmp_path) as made:
        made.put_node("cp1", control_plane=True)
        for name in ("w1", "w2", "w3"):
            made.put_node(name, allowed=name != "w3")
        made.guard = {POLICY: written(Policy())}
        yield made


def ground_of(api: FakeApiServer, agent_image: str = "agent:1") -> Ground:
    return look(Wishes("1.34.4", kubeconfig=api.kubeconfig, agent_image=agent_image))


def terms(ground: Ground | None = None, **others: Any) -> Terms:
    def none(_: Shape) -> Any:
        raise OrdealError("there is no cluster")

    existing = none if ground is None else ground.cluster
    return Terms(
        PROFILES["smoke"], "1.34.4", existing, lambda _: None, lambda version: f"no specs of {version}", **others
    )


def on(
    ground: Ground, tells: Callable[[Any], None], *harm: type, replay: Replay | None = None, blocked: str = ""
) -> Prospect:
    """What would become of a story there whose mark declares that harm."""

    def promises(_: Conditions) -> tuple[Judged, ...]:
        return judged(says(nothing_terminated, "web"), harm=harm)

    told = replay or replace(story(), on=(KIND,), promises=promises, needs=(NodeExec,))
    blocked = blocked or next(iter(ground.blocked), "")
    return prospect("test_it[existing-hardened]", tells, told, Case(EXISTING, None), terms(ground), ground, blocked)


def harms(*faults: Callable[[str], Any]) -> Callable[[Any], None]:
    """A story that harms the first worker that is fit, one in the other."""

    def tells(lab: Any) -> None:
        node = fit_workers(lab.cluster(Shape(timers=lab.timers)))[0].name
        with ExitStack() as stack:
            for fault in faults:
                stack.enter_context(lab.inject(fault(node)))

    return tells


def stops_early(lab: Any) -> None:
    """A story that can't be told up to its harm."""
    lab.cluster(Shape(timers=lab.timers)).api()


# --- what is read of the cluster


def test_nodes_are_told_with_what_the_api_says_of_them(api: FakeApiServer) -> None:
    api.put_node("w1", taint="gpu")
    api.put_node("w2", ready=False)
    found = ground_of(api)
    no_agent = "has no node agent: the guard does not allow it to be harmed"
    assert {each.name: (each.unfit, each.refused) for each in found.facts} == {
        "cp1": (no_agent, "the guard allows no control-plane node, and cp1 is one"),
        "w1": ("has the taint gpu:NoSchedule", ""),
        "w2": ("is not Ready (Ready is False)", ""),
        "w3": (no_agent, "the guard allows nodes with 'kube-ordeal/allowed=true' alone, and w3 does not have that"),
    }
    first = found.facts[0]
    assert (first.kernel, first.os_image, first.runtime) == ("6.1.0-fit", "Fitting Linux", "containerd://2.1.4")
    assert (found.in_reach.reached, found.fit, found.blocked) == (("w1",), (), ())
    asked = [each for each in api.requests if "selfsubjectaccessreviews" not in each]
    assert all("watch" not in each for each in asked)
    assert api.lease is None


def test_agents_are_what_gives_abilities(api: FakeApiServer) -> None:
    assert NodeExec in ground_of(api).in_reach.abilities
    assert ground_of(api, agent_image="").in_reach.abilities == ()


def test_why_no_replay_would_get_it_is_told(api: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "lacking", lambda _: ("cryptography",))
    found = ground_of(api)
    assert found.in_reach.unusable == (
        "harming nodes that somebody else made can't be had: cryptography is not installed; pip install "
        "'kube-ordeal[agent]'"
    )
    told = on(found, harms(StallRuntime), StallRuntime)
    assert (told.fate, told.why) == (Fate.FAILS, found.in_reach.unusable)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (None, "the cluster has no guard: its owner makes one with `kube-ordeal guard init` (docs/guard.md)"),
        ({POLICY: written(Policy()), HALT: "true"}, "the owner has halted all harm"),
        ({POLICY: written(Policy(windows=(ANOTHER_DAY,)))}, f"the guard allows harm only {ANOTHER_DAY}"),
        ({POLICY: "nodez: 1"}, "the guard can't be read"),
        ({POLICY: written(Policy(stop=(Url("http://127.0.0.1:9/healthz"),)))}, "ends all harm: it can't be asked"),
        ({POLICY: written(Policy(stop=(PodsReady("none"),)))}, ""),
    ],
)
def test_what_keeps_every_run_away(api: FakeApiServer, said: dict[str, str] | None, why: str) -> None:
    api.guard = said
    found = ground_of(api)
    assert [why in each for each in found.blocked] == ([True] if why else [])
    told = on(found, harms(StallRuntime), StallRuntime)
    assert told.fate is (Fate.REFUSED if why else Fate.RUNS)
    assert told.why == next(iter(found.blocked), "")
    assert told.takes == ("w1",), "what it would take is told all the same"


def test_rights_and_claims_keep_every_run_away_too(api: FakeApiServer) -> None:
    api.forbidden = {("create", "namespaces"), ("update", "leases")}
    (lacking,) = ground_of(api).blocked
    assert lacking.startswith("the kubeconfig's user may not create namespaces (in all namespaces), nor update leases")
    api.forbidden = {("create", "daemonsets")}
    assert len(ground_of(api).blocked) == 1, "agents are put there by one"
    assert ground_of(api, agent_image="").blocked == ()
    api.forbidden.clear()
    with Claim(api.client, "run x of ann on host-1"):
        (claimed,) = ground_of(api).blocked
    assert claimed.startswith("the cluster is claimed by run x of ann on host-1: wait for it")
    assert ground_of(api).blocked == ()


def test_a_cluster_that_does_not_answer_is_one_sentence(api: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    api.stall()
    sentence = rf"^the cluster at {api.url} does not answer \(.*\); is it running\?$"
    with monkeypatch.context() as hurried:
        hurried.setattr(transport, "READ_TIMEOUT_S", 0.05)
        with pytest.raises(OrdealError, match=sentence):
            ground_of(api)
    api.answer_again()
    api.forbidden = {("list", "nodes")}
    with pytest.raises(OrdealError, match=r"^the kubeconfig's user may not list nodes"):
        ground_of(api)
    with pytest.raises(OrdealError, match="no existing cluster was named"):
        look(Wishes("1.34.4"))


# --- what the owner allows


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        (Policy(), ""),
        (Policy(incidents=("bad-link",)), "stall-runtime is not done: the guard does not name the incident made-up"),
        (Policy(faults=("cut-off",)), "stall-runtime is not done: the guard does not name the fault stall-runtime"),
        (Policy(most_nodes=0), "stall-runtime is not done: the guard allows 0 nodes at once, and w1 would be 1"),
    ],
)
@pytest.mark.parametrize("tells", [harms(StallRuntime), stops_early])
def test_a_fault_that_is_not_allowed_is_refused_in_the_words_of_a_run(
    api: FakeApiServer, policy: Policy, why: str, tells: Callable[[Any], None]
) -> None:
    api.guard = {POLICY: written(policy)}
    told = on(ground_of(api), tells, StallRuntime)
    assert (told.fate, told.why) == ((Fate.REFUSED, why) if why else (Fate.RUNS, ""))


def test_nodes_that_are_harmed_together_count_together(api: FakeApiServer) -> None:
    both = harms(StallRuntime, lambda _: StallRuntime("w2"))
    told = on(ground_of(api), both, StallRuntime)
    assert told.why == "stall-runtime is not done: the guard allows 1 node at once, and w1, w2 would be 2"
    assert told.takes == ("w1", "w2")
    same = harms(StallRuntime, StallRuntime)
    assert on(ground_of(api), same, StallRuntime).fate is Fate.RUNS


def test_a_node_that_a_story_takes_without_asking_is_refused(api: FakeApiServer) -> None:
    told = on(ground_of(api), harms(lambda _: StallRuntime("w3")), StallRuntime)
    assert told.fate is Fate.REFUSED
    assert told.why.startswith(
        "stall-runtime is not done: the guard allows nodes with 'kube-ordeal/allowed=true' alone, and w3"
    )


def test_what_names_a_namespace_and_no_node_is_asked_for_that(api: FakeApiServer) -> None:
    coredns = on(ground_of(api), harms(lambda _: ScaleToZero()), ScaleToZero)
    assert coredns.why == "scale-to-zero is not done: the guard does not name the namespace kube-system"
    assert on(ground_of(api), harms(lambda _: DeletePods("ordeal-churn", "churn")), DeletePods).fate is Fate.RUNS
    assert on(ground_of(api), stops_early, DeletePods).fate is Fate.RUNS
    api.guard = {POLICY: written(Policy(namespaces=("shop",)))}
    assert on(ground_of(api), stops_early, DeletePods).why.endswith("does not name the namespace ordeal-plan")


def test_a_fault_without_its_rights_is_refused_in_the_words_of_a_run(api: FakeApiServer) -> None:
    api.guard = {POLICY: written(Policy(namespaces=("*",)))}
    allowed = on(ground_of(api), harms(lambda _: ScaleToZero()), ScaleToZero)
    assert (allowed.fate, allowed.needs[-1]) == (Fate.RUNS, Need("the rights of scale-to-zero (get deployments)"))
    api.forbidden = {("get", "deployments")}
    told = on(ground_of(api), stops_early, ScaleToZero)
    assert told.fate is Fate.REFUSED
    assert told.why.startswith("scale-to-zero is not done: the kubeconfig's user may not get deployments (in all")
    assert told.needs[-1].lacks == told.why


# --- what it does and needs


def test_what_it_does_is_what_it_sets_up_and_what_its_promises_name() -> None:
    def promises(told: Conditions) -> tuple[Judged, ...]:
        by = [says(nothing_terminated, "web"), *([says(no_container_restarted, "web")] if told.control else [])]
        return (*judged(*by, harm=(CutOff,)), *judged(*by[:1], harm=(CutOff, PowerOff)))

    replay = replace(story(), faults={"bad": (Pause, PowerOff)}, promises=promises)
    hardened, bad = (Conditions(control, KIND, PROFILES["smoke"]) for control in (None, "bad"))
    assert [each.fault for each in doings(replay, hardened)] == ["cut-off", "power-off"]
    assert [each.fault for each in doings(replay, bad)] == ["pause", "power-off", "cut-off"]
    cut, power = doings(replay, hardened)
    assert power.does == "Cut a node's power (no shutdown, no goodbye)"
    assert (power.uses, cut.uses and cut.uses.capabilities[0]) == (Uses(), Capability.NET_ADMIN)
    assert promised(replay, hardened) == ("nothing_terminated",)
    assert promised(replay, bad) == ("nothing_terminated", "no_container_restarted")
    assert promised(replace(replay, promises=None), bad) == ()


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Freeze it; undo lets it go on.", "Freeze it"),
        ("Two\n  lines. And more.", "Two lines"),
        ("Version 1.2 of it", "Version 1.2 of it"),
        ("", ""),
    ],
)
def test_a_first_sentence(text: str, first: str) -> None:
    assert first_sentence(text) == first


def test_each_need_is_told_with_what_would_give_it(api: FakeApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    replay = replace(story(), on=(KIND,), needs=(NodeNetwork, NodePower), images=("redis", "iperf3"), specs=True)
    replay = replace(replay, extras=("databases",))
    monkeypatch.setattr(registry, "known", lambda _: "")
    monkeypatch.setattr(extras, "lacking", lambda _: ("pymysql",))
    there = ground_of(api, agent_image="")
    told = prospect("t", stops_early, replay, Case(EXISTING, None), terms(there, images={"redis": "mine"}), there)
    assert {each.what: (bool(each.lacks), each.option) for each in told.needs} == {
        "NodeNetwork": (True, "--ordeal-agent-image"),
        "NodePower": (True, "--ordeal-power"),
        "packages for replays with MySQL": (True, ""),
        "an image of redis": (False, ""),
        "an image of iperf3": (True, "--ordeal-iperf3-image"),
        "upstream's e2e.test": (True, ""),
    }
    monkeypatch.setattr(parts.Part, "lacks", lambda self: "it is not there" if self == FIREWALL else "")
    made = replace(story(), on=(KIND,), needs=(NodeNetwork,), host=(FIREWALL,))
    told = prospect("t", stops_early, made, Case(KIND, None), terms())
    assert {each.what: each.lacks.partition(";")[0] for each in told.needs} == {
        "NodeNetwork": "",
        "root": "",
        "entering a node's network": "",
        "cutting nodes off": "it is not there",
        "packages for kind clusters": "kind clusters can't be had: pymysql is not installed",
    }
