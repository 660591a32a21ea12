"""Nodes that somebody else made: a kind cluster with another pod network, reached by agents alone.

The code under test finds no container engine; this file has one, to make the cluster and to look at its nodes.
"""

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaos.agent.home import FOLDERS, UNITS
from chaos.basics.waiting import eventually
from chaos.clusters.abilities import missing
from chaos.clusters.agent import protocol
from chaos.clusters.agent.cluster import AgentCluster, put, take_off
from chaos.clusters.agent.crew import WITHIN_S, Crew
from chaos.clusters.agent.deployment import Agents, folder_of
from chaos.clusters.existing import cluster as existing
from chaos.clusters.identity import named_in
from chaos.clusters.kind import docker
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import Access
from chaos.errors import OrdealError
from chaos.harm import load_all
from chaos.harm.base import inject, is_on_nodes, plan_type, registered
from chaos.harm.kubelet import SetKubeletConfig
from chaos.harm.network import CutOff
from chaos.harm.program import SwapProgram
from chaos.hosts import agent_image, engine
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.command import run
from chaos.hosts.image_build import WORKLOAD_IMAGE
from chaos.hosts.places import journals_dir
from chaos.record.history import History
from chaos.record.journal import Journal, Pending, pending
from chaos.record.records import FaultStep
from chaos.run.agents import capabilities_for
from chaos.run.guard import halt, read, write
from chaos.run.policy import Policy
from chaos.subjects.handles.faults import EatHandles, LowerHandleLimit
from chaos.subjects.pleg.faults import StallRuntime
from tests.comparing import wait_as_before
from tests.integration.as_runner import ACCOUNT, apply, documents, kubeconfig_of_runner
from tests.integration.foreign import foreign_cluster, give_pod_network
from tests.integration.picture import picture, picture_of_still, wait_in_touch
from tests.integration.test_kind_faults import faults_of
from tests.integration.test_node_faults import cases
from tests.integration.test_program_faults import given
from tests.moments import Moments

ROOT = Path(__file__).parents[2]
UNDONE_AFTER_S = WITHIN_S + 2.0
LOOKS_WITHIN_S = 3.0  # what a look from outside, and a node that starts again, may take on top of that

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Theirs:
    """The cluster: as its owner sees it, as a run does that has the rights of manifests/rights and no more, and as its
    nodes are from outside.
    """

    kubeconfig: Path
    runner: Path
    image: str
    outside: KindCluster

    @property
    def worker(self) -> str:
        return self.outside.workers[0]

    def sh(self, node: str, script: str) -> str:
        return self.outside.node_exec(node, ["sh", "-c", script], timeout_s=60, check=False).out

    def command(self, *argv: str, cwd: Path = ROOT) -> "subprocess.Popen[str]":
        """A program of ours that finds no engine."""
        environment = {**os.environ, "PATH": "/usr/bin:/bin", "DOCKER_HOST": "unix:///nowhere/docker.sock"}
        return subprocess.Popen(
            [sys.executable, "-m", *argv],
            cwd=cwd,
            env=environment,
            text=True,
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def ended(self, child: "subprocess.Popen[str]", within_s: float = 600.0) -> tuple[int, str]:
        """Its exit code, and what it said."""
        with child:
            said = child.communicate(timeout=within_s)[0]
        return child.returncode, said

    def replay(self, results: Path, *what: str, cwd: Path = ROOT) -> "subprocess.Popen[str]":
        asked = ["--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(self.runner)]
        asked += ["--ordeal-agent-image", self.image, "--ordeal-busybox-image", WORKLOAD_IMAGE]
        argv = ["pytest", *what, *asked, "--ordeal-results", str(results), "-p", "no:cacheprovider"]
        return self.command(*argv, cwd=cwd)

    def leftovers(self) -> str:
        """What of an agent is on the nodes, and in the API."""
        looked = f"ls {UNITS} | grep ordeal; ls -d {FOLDERS}; ls -d /run/kube-ordeal*; pgrep -f 'chaos[.]agent'"
        found = ""
        for node in docker.names_in_cluster(self.outside.ref.name):
            *left, last = self.sh(node, f"({looked}) 2>/dev/null; echo looked").splitlines()
            assert last == "looked"
            found += "".join(left)
        spaces = run(self.kubectl("get", "namespaces", "-o", "name"), timeout_s=30).out.split()
        return found + " ".join(each for each in spaces if "ordeal" in each and each != f"namespace/{ACCOUNT[1]}")

    def kubectl(self, *argv: str) -> list[str]:
        admin = "/etc/kubernetes/admin.conf"
        return docker.interactive(self.outside.control_plane, ["kubectl", "--kubeconfig", admin, *argv])


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theirs]:
    with their_cluster("theirs", tmp_path_factory.mktemp("theirs")) as made:
        yield made


@contextmanager
def their_cluster(name: str, work: Path, network: str = "kind") -> Iterator[Theirs]:
    """Made for the length of the block; nothing of ours is left on it."""
    load_all()
    image = agent_image.ensure(print)
    with foreign_cluster(name, DEFAULT_KUBERNETES, work, network) as kubeconfig:
        outside = existing.attach(kubeconfig, "", Shape(), WORKLOAD_IMAGE)
        assert isinstance(outside, KindCluster)
        outside.load_image(image)
        apply(Access(kubeconfig).client, [*documents(), *documents("fence.yaml")])
        made = Theirs(kubeconfig, kubeconfig_of_runner(kubeconfig, work), image, outside)
        yield made
        assert made.leftovers() == ""
        assert [each for each in pending(journals_dir()) if each.path.stem.startswith("crash-")] == []


def test_nothing_is_done_without_the_owners_word_and_then_all_is_as_through_the_engine(
    theirs: Theirs, tmp_path: Path
) -> None:
    code, said = theirs.ended(theirs.replay(tmp_path, "suites/preflight/test_node_preflight.py"))
    assert "the cluster has no guard" in said
    assert code == 2
    assert theirs.leftovers() == ""

    owner = ["guard", "init", "--kubeconfig", str(theirs.kubeconfig), "--nodes", "", "--control-plane"]
    code, said = theirs.ended(theirs.command("chaos", *owner, "--most-nodes", "100%"))
    assert code == 0, said
    suites = [f"suites/preflight/test_{each}.py" for each in ("node_preflight", "storage_driver")]
    code, said = theirs.ended(theirs.replay(tmp_path, *suites))
    assert code == 0, said[-6000:]
    written = json.loads((tmp_path / "latest" / "results.json").read_text())
    found = {(i["id"], i.get("control", "")): i["verdict"] for i in written["incidents"]}
    assert found == {
        ("node-preflight", ""): "held",
        ("node-preflight", "low-handle-limit"): "violated",
        ("node-preflight", "too-many-pods"): "violated",
        ("node-preflight", "strict-limits"): "violated",
        ("storage-driver", ""): "held",
        ("storage-driver", "leftovers"): "violated",
    }
    assert theirs.leftovers() == ""
    nodes = ", ".join(sorted(docker.names_in_cluster(theirs.outside.ref.name)))
    assert f"looked at {nodes}: nothing of the agents is left there" in said


def test_a_halt_ends_what_goes_on(theirs: Theirs, tmp_path: Path) -> None:
    connect = Access(theirs.kubeconfig).client
    write(connect, Policy(nodes="", control_plane=True, most_nodes="100%"), replace=True)
    going = theirs.replay(tmp_path, "suites/node/test_hostname_change.py", "-k", "pinned and hardened")
    assert going.stdout is not None
    for line in going.stdout:
        if "hold:" in line:
            break
    began = time.monotonic()
    halt(connect, on=True)
    try:
        eventually(lambda: _hostname(theirs) == theirs.worker, within_s=60, what="the name to be put back", every_s=0.1)
        print(f"put back {time.monotonic() - began:.1f} s after the halt")
        code, said = theirs.ended(going)
    finally:
        halt(connect, on=False)
    assert code == 2, said[-3000:]  # pytest's own for a run that was ended early
    assert "unknown, FAILED: stopped: the owner has halted all harm" in said
    assert not read(connect).halted
    assert theirs.leftovers() == ""


def _hostname(theirs: Theirs) -> str:
    return theirs.sh(theirs.worker, "uname -n").strip()


@dataclass(frozen=True)
class Kill:
    """What is killed on the harmed node besides the run; what mends it for the tests that come after."""

    besides: Callable[[Theirs, str], object] = lambda _, __: None
    after: Callable[[Theirs, str], object] = lambda _, __: None


def _restart(theirs: Theirs, node: str) -> None:
    """As a cut of the power, and at its old address, which the engine has free then."""
    del theirs
    for verb in ("kill", "start"):
        engine.chosen().docker(verb, node, timeout_s=60)


def _kill(what: str) -> Callable[[Theirs, str], object]:
    def kill(theirs: Theirs, node: str) -> None:
        script = f"pids=$(pgrep -f '{what}') && kill -9 $pids && echo killed"
        assert theirs.sh(node, script) == "killed\n"

    return kill


def _stop_kubelet(theirs: Theirs, node: str) -> None:
    script = "systemctl kill --signal KILL kubelet && systemctl stop kubelet && echo stopped"
    assert theirs.sh(node, script) == "stopped\n"


KILLS = {
    "the run": Kill(),
    "the run and the agent": Kill(_kill("chaos[.]agent serve")),
    "the run and the agent's pod": Kill(_kill("chaos[.]agent attend")),
    "the run and the kubelet": Kill(_stop_kubelet, lambda on, node: on.sh(node, "systemctl start kubelet")),
    # A node that starts again has not the routes that were given to it by hand.
    "the run and the node": Kill(_restart, lambda on, _: give_pod_network(on.kubeconfig)),
}
# One of each for `make test`; `make bench-crash` draws them.
WITH: dict[str, tuple[str, Callable[[Theirs], dict[str, Any]]]] = {
    "the run": (StallRuntime.kind, lambda on: {"node": on.worker}),
    "the run and the agent": (
        SetKubeletConfig.kind,
        lambda on: {"node": on.worker, "changes": {"maxPods": 77}},
    ),
    "the run and the agent's pod": (
        CutOff.kind,
        lambda on: {"nodes": list(on.outside.workers), "peers": [on.outside.control_plane]},
    ),
    "the run and the kubelet": (
        LowerHandleLimit.kind,
        lambda on: {"node": on.worker, "daemon": "containerd", "limit": 2000},
    ),
    "the run and the node": (SetKubeletConfig.kind, lambda on: {"node": on.worker, "changes": {"maxPods": 78}}),
}


@pytest.fixture(scope="module")
def crew(theirs: Theirs) -> Iterator[Crew]:
    """They may do what is done in these tests, and no more."""
    with crew_of(theirs, [kind for kind, _ in WITH.values()]) as made:
        yield made


@contextmanager
def crew_of(theirs: Theirs, faults: Collection[str]) -> Iterator[Crew]:
    """Agents that are told that their run lives, and by nobody but the process that is killed what it has armed."""
    name = f"it{uuid.uuid4().hex[:6]}"
    plain = existing.attach_by_api(theirs.runner, "", Shape(), WORKLOAD_IMAGE)
    made = Agents(name, theirs.image, folder_of(name), capabilities_for(faults))
    try:
        crew = put(plain, made, [each.name for each in plain.nodes()], print)
        crew.keep()
        yield crew
        crew.close()
    finally:
        take_off(plain, made.folder)


@pytest.fixture(scope="module")
def agents(theirs: Theirs, crew: Crew) -> AgentCluster:
    return cluster_of(theirs, crew)


def cluster_of(theirs: Theirs, crew: Crew) -> AgentCluster:
    cluster = AgentCluster(existing.attach_by_api(theirs.runner, "", Shape(), WORKLOAD_IMAGE), crew)
    cluster.identify()
    return cluster


def test_a_unit_has_the_capabilities_of_what_is_allowed_and_what_needs_more_is_not_begun(
    theirs: Theirs, agents: AgentCluster, tmp_path: Path
) -> None:
    unit = f"kube-ordeal-agent-{Path(agents.ref.agent).name}.service"
    shown = theirs.sh(theirs.worker, f"systemctl show --value -p CapabilityBoundingSet -p NoNewPrivileges {unit}")
    allowed = capabilities_for([kind for kind, _ in WITH.values()])
    assert set(shown.split()) == {"yes", *(each.lower() for each in allowed)}
    pid = theirs.sh(theirs.worker, f"systemctl show --value -p MainPID {unit}").strip()
    kept = int(theirs.sh(theirs.worker, f"sed -n 's/^CapEff:\\s*//p' /proc/{pid}/status"), 16)
    assert kept.bit_count() <= len(allowed), "a node that is a container may lack some of them"
    history = History()
    with (
        Journal(tmp_path / "journal.jsonl") as journal,
        pytest.raises(OrdealError, match=r"eat-handles is not done: it uses CAP_KILL, which the agent's unit has not"),
        inject(EatHandles(theirs.worker, 100, of="containerd"), agents, journal, history),
    ):
        pytest.fail("it was begun")
    assert [each.step for each in history.of(FaultStep)] == ["planned", "undoing", "undone"]


@pytest.mark.parametrize("killed", KILLS)
def test_the_node_itself_takes_back_what_a_killed_run_has_left(
    theirs: Theirs, agents: AgentCluster, killed: str, moments: Moments
) -> None:
    """Within the deadline from the kill on, whatever else is killed with the run."""
    kind, arguments = WITH[killed]
    took_s = _kill_and_wait(theirs, agents, killed, (kind, arguments(theirs)), moments)
    theirs.outside.wait_ready(180)
    assert "still pending: 0" in theirs.ended(theirs.command("chaos", "undo"))[1]
    assert took_s < UNDONE_AFTER_S + LOOKS_WITHIN_S


@pytest.fixture(scope="module")
def all_crew(theirs: Theirs) -> Iterator[Crew]:
    """They may do whatever a fault of nodes does."""
    with crew_of(theirs, [kind for kind, cls in registered().items() if is_on_nodes(cls.needs)]) as made:
        yield made


@pytest.mark.nightly("whatever fault at any moment: `make bench-crash`")
def test_a_killed_run_leaves_nothing_on_the_nodes(
    theirs: Theirs, all_crew: Crew, moment: int, moments: Moments
) -> None:
    """One of the faults that nodes take back, and one of the kills, another one each time."""
    agents = cluster_of(theirs, all_crew)
    there = cases_of(theirs, agents)
    name, killed = sorted(there)[moment % len(there)], list(KILLS)[moments.number(0, len(KILLS))]
    print(f"{name}; {killed}")
    before = picture_of_still(theirs.outside)
    _kill_and_wait(theirs, agents, killed, there[name], moments, said_by=all_crew)
    wait_in_touch(theirs.outside)
    assert "still pending: 0" in theirs.ended(theirs.command("chaos", "undo"))[1]
    wait_as_before(lambda: picture(theirs.outside), before)


def cases_of(theirs: Theirs, agents: AgentCluster) -> dict[str, tuple[str, dict[str, Any]]]:
    """The faults that an agent's node takes back, by a name: the kind, and what it is made of."""
    there = {kind: (kind, made_of) for kind, made_of in faults_of(theirs.outside).items()}
    there |= cases(theirs.outside)
    there |= {kind: (kind, given(theirs.outside, kind)) for kind in (SwapProgram.kind, StallRuntime.kind)}
    named = {theirs.outside.workers[0], theirs.outside.workers[-1]}

    def is_done_there(made_of: dict[str, Any]) -> bool:
        return bool(named_in(made_of, named))

    return {
        name: case
        for name, case in there.items()
        if not missing(agents, registered()[case[0]].needs) and is_done_there(case[1])
    }


def _kill_and_wait(
    theirs: Theirs,
    agents: AgentCluster,
    killed: str,
    case: tuple[str, dict[str, Any]],
    moments: Moments,
    *,
    said_by: Crew | None = None,
) -> float:
    """Harm in a run of its own, killed at a random moment with what else is; the seconds from then until the nodes are
    as before: seen from outside, or as the agents say, where a part of the fault may be left to `kube-ordeal undo`.
    """
    kill, name = KILLS[killed], f"crash-{uuid.uuid4().hex[:8]}"
    argv = ["tests.integration.harm", json.dumps(asdict(agents.ref)), case[0], json.dumps(case[1]), name]
    with theirs.command(*argv) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "landed\n"
            time.sleep(moments.second(3.0))  # the moment of the kill is what is tried here, it synchronises nothing
            left = _left(name)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    began = time.monotonic()
    fault = registered()[case[0]]
    plan = msgspec.convert(left.saved, plan_type(fault))
    node = str(case[1].get("node", theirs.worker))

    def is_over() -> bool:
        return fault.undone(theirs.outside, plan) if said_by is None else not _armed(said_by)

    try:
        kill.besides(theirs, node)
        what = f"{case[0]} to be undone by the node itself"
        eventually(is_over, within_s=UNDONE_AFTER_S + 60, what=what, every_s=0.2)
        took_s = time.monotonic() - began
        print(f"{case[0]}: as before {took_s:.1f} s after {killed} was killed, the deadline is {WITHIN_S:g} s")
    finally:
        kill.after(theirs, node)
    return took_s


def _armed(crew: Crew) -> bool:
    """Whether any node has something to take back. Raises OrdealError where one does not answer."""
    said = [each.ask(protocol.Hello(), protocol.Me, within_s=5.0) for each in crew.channels.values()]
    return any(each.armed for each in said)


def _left(name: str) -> Pending:
    """What the journal of a run that is alive says: nobody else may read it yet, so its file is read as it is."""
    for line in (journals_dir() / f"{name}.jsonl").read_text().splitlines():
        said = json.loads(line)
        if said["state"] == "planned":
            return Pending(Path(name), said["entry"], said["kind"], said["cluster"], said["saved"], said["wall"])
    raise AssertionError("nothing is planned")
