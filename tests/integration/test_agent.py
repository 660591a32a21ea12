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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaos.agent.home import FOLDERS, UNITS
from chaos.basics.waiting import eventually
from chaos.clusters.agent.cluster import AgentCluster, put, take_off
from chaos.clusters.agent.crew import WITHIN_S
from chaos.clusters.agent.deployment import Agents, folder_of
from chaos.clusters.existing import cluster as existing
from chaos.clusters.kind import docker
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import Access
from chaos.harm import load_all
from chaos.harm.base import plan_type, registered
from chaos.hosts import agent_image, engine
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.command import run
from chaos.hosts.image_build import WORKLOAD_IMAGE
from chaos.hosts.places import journals_dir
from chaos.record.journal import Pending, pending
from chaos.run.guard import halt, read, write
from chaos.run.policy import Policy
from tests.integration.foreign import foreign_cluster
from tests.moments import Moments

ROOT = Path(__file__).parents[2]
UNDONE_AFTER_S = WITHIN_S + 2.0
LOOKS_WITHIN_S = 3.0  # what a look from outside, and a node that starts again, may take on top of that

pytestmark = pytest.mark.timeout(900)


@dataclass(frozen=True)
class Theirs:
    """The cluster: as its owner sees it, and as its nodes are from outside."""

    kubeconfig: Path
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
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def ended(self, child: "subprocess.Popen[str]", within_s: float = 600.0) -> tuple[int, str]:
        """Its exit code, and what it said."""
        with child:
            said = child.communicate(timeout=within_s)[0]
        return child.returncode, said

    def replay(self, results: Path, *what: str, cwd: Path = ROOT) -> "subprocess.Popen[str]":
        asked = ["--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(self.kubeconfig)]
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
        return found + " ".join(each for each in spaces if "ordeal" in each)

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
        made = Theirs(kubeconfig, image, outside)
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
        ("storage-driver", ""): "held",
        ("storage-driver", "leftovers"): "violated",
    }
    assert theirs.leftovers() == ""


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
    """What is killed on the worker besides the run; what mends it for the tests that come after."""

    fault: str
    arguments: Callable[[Theirs], dict[str, Any]]
    besides: Callable[[Theirs], object] = lambda _: None
    after: Callable[[Theirs], object] = lambda _: None


def _restart(theirs: Theirs) -> None:
    """As a cut of the power, and at its old address, which the engine has free then."""
    for verb in ("kill", "start"):
        engine.chosen().docker(verb, theirs.worker, timeout_s=60)


def _kill(what: str) -> Callable[[Theirs], object]:
    def kill(theirs: Theirs) -> None:
        script = f"pids=$(pgrep -f '{what}') && kill -9 $pids && echo killed"
        assert theirs.sh(theirs.worker, script) == "killed\n"

    return kill


def _stop_kubelet(theirs: Theirs) -> None:
    script = "systemctl kill --signal KILL kubelet && systemctl stop kubelet && echo stopped"
    assert theirs.sh(theirs.worker, script) == "stopped\n"


KILLS = {
    "the run": Kill("stall-runtime", lambda on: {"node": on.worker}),
    "the run and the agent": Kill(
        "set-kubelet-config", lambda on: {"node": on.worker, "changes": {"maxPods": 77}}, _kill("chaos[.]agent serve")
    ),
    "the run and the agent's pod": Kill(
        "cut-off",
        lambda on: {"nodes": list(on.outside.workers), "peers": [on.outside.control_plane]},
        _kill("chaos[.]agent attend"),
    ),
    "the run and the kubelet": Kill(
        "lower-handle-limit",
        lambda on: {"node": on.worker, "daemon": "containerd", "limit": 2000},
        _stop_kubelet,
        lambda on: on.sh(on.worker, "systemctl start kubelet"),
    ),
    "the run and the node": Kill(
        "set-kubelet-config", lambda on: {"node": on.worker, "changes": {"maxPods": 78}}, _restart
    ),
}


@pytest.fixture(scope="module")
def agents(theirs: Theirs) -> Iterator[AgentCluster]:
    """Agents that are told that their run lives, and by nobody but the process that is killed what it has armed."""
    name = f"it{uuid.uuid4().hex[:6]}"
    plain = existing.attach_by_api(theirs.kubeconfig, "", Shape(), WORKLOAD_IMAGE)
    made = Agents(name, theirs.image, folder_of(name))
    try:
        crew = put(plain, made, [each.name for each in plain.nodes()], print)
        crew.keep()
        cluster = AgentCluster(plain, crew)
        cluster.identify()
        yield cluster
        crew.close()
    finally:
        take_off(plain, made.folder)


@pytest.mark.parametrize("killed", KILLS)
def test_the_node_itself_takes_back_what_a_killed_run_has_left(
    theirs: Theirs, agents: AgentCluster, killed: str, moments: Moments
) -> None:
    """Within the deadline from the kill on, whatever else is killed with the run."""
    kill, name = KILLS[killed], f"crash-{uuid.uuid4().hex[:8]}"
    arguments = kill.arguments(theirs)
    argv = ["tests.integration.harm", json.dumps(asdict(agents.ref)), kill.fault, json.dumps(arguments), name]
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
    try:
        kill.besides(theirs)
        fault, plan = registered()[kill.fault], msgspec.convert(left.saved, plan_type(registered()[kill.fault]))
        eventually(
            lambda: fault.undone(theirs.outside, plan),
            within_s=UNDONE_AFTER_S + 60,
            what=f"{kill.fault} to be undone by the node itself",
            every_s=0.2,
        )
        took_s = time.monotonic() - began
        print(f"{kill.fault}: as before {took_s:.1f} s after {killed} was killed, the deadline is {WITHIN_S:g} s")
    finally:
        kill.after(theirs)
    theirs.outside.wait_ready(180)
    assert "still pending: 0" in theirs.ended(theirs.command("chaos", "undo"))[1]
    assert took_s < UNDONE_AFTER_S + LOOKS_WITHIN_S


def _left(name: str) -> Pending:
    """What the journal of a run that is alive says: nobody else may read it yet, so its file is read as it is."""
    for line in (journals_dir() / f"{name}.jsonl").read_text().splitlines():
        said = json.loads(line)
        if said["state"] == "planned":
            return Pending(Path(name), said["entry"], said["kind"], said["cluster"], said["saved"], said["wall"])
    raise AssertionError("nothing is planned")
