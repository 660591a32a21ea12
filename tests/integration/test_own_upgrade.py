"""A kind cluster that is not ours is upgraded by its owner's own script, and watched, with a Service of theirs.

The script puts another kubelet onto each node: the same program, which says another version. What the replay watches,
drains, restarts and versions that Nodes show, are real.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as k8s

from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.existing.cluster import attach
from chaos.clusters.kind import docker
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.shape import Shape
from chaos.clusters.way.client import Access
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.command import run
from chaos.hosts.places import journals_dir
from chaos.record.journal import pending
from chaos.report import product
from chaos.report.bundle import pack
from chaos.report.verify import verify
from chaos.results.saved import load
from chaos.run.guard import halt, write
from chaos.run.policy import Policy
from chaos.subjects.upgrade.own import OUTPUT
from chaos.workloads.web import Web
from tests.integration.foreign import foreign_cluster

ROOT = Path(__file__).parents[2]
SUITE = "suites/upgrade/test_own_upgrade.py"
WATCHED = "shop/front/"

pytestmark = [
    pytest.mark.nightly("a cluster that is not ours is upgraded again and again: minutes"),
    pytest.mark.timeout(1800),
]

# An owner's tool: NEW version, how nodes are drained, and groups of nodes, one group after the other.
SCRIPT = r"""#!/bin/sh -e
control_plane=$1 old=$2 new=$3 how=$4; shift 4
kubectl() { docker exec "$control_plane" kubectl --kubeconfig /etc/kubernetes/admin.conf "$@"; }
for group in "$@"; do
    kubectl drain $group $how --ignore-daemonsets --delete-emptydir-data --timeout=300s
    for node in $group; do
        docker exec "$node" sh -ec "
            sed 's/v$old/v$new/g' /usr/bin/kubelet > /usr/bin/kubelet.new
            chmod 755 /usr/bin/kubelet.new
            mv -f /usr/bin/kubelet.new /usr/bin/kubelet
            systemctl restart kubelet"
        until [ "$(kubectl get node "$node" -o 'jsonpath={.status.nodeInfo.kubeletVersion}')" = "v$new" ]; do
            sleep 1
        done
        kubectl wait --for=condition=Ready "node/$node" --timeout=120s
        echo "$node has v$new"
    done
    kubectl uncordon $group
done
"""


@dataclass
class Theirs:
    """The cluster, and the version that its owner's script is to bring next."""

    kubeconfig: Path
    cluster: KindCluster
    script: Path
    patch: list[int] = field(default_factory=lambda: [int(DEFAULT_KUBERNETES.rpartition(".")[2])])

    def upgrade(self, *groups: str, how: str = "--force") -> str:
        """The command that brings the next version to these groups of nodes."""
        minor, old = DEFAULT_KUBERNETES.rpartition(".")[0], self.patch[0]
        self.patch[0] += 1
        versions = (f"{minor}.{old}", f"{minor}.{self.patch[0]}")
        return shlex.join([str(self.script), self.cluster.control_plane, *versions, how, *groups])

    def replay(self, results: Path, command: str, *options: str) -> "subprocess.Popen[str]":
        asked = ["--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(self.kubeconfig)]
        asked += ["--ordeal-upgrade-command", command, "--ordeal-watch-service", WATCHED, "--ordeal-conform", "none"]
        asked += ["--ordeal-results", str(results), "-p", "no:cacheprovider"]
        return self.command("pytest", SUITE, *asked, *options)

    def command(self, *argv: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", *argv],
            cwd=ROOT,
            text=True,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def leftovers(self) -> str:
        """What of ours is in the cluster, in the journals, and which node can't be used."""
        with self.cluster.api() as client:
            spaces: Any = k8s.CoreV1Api(client).list_namespace()
            nodes: Any = k8s.CoreV1Api(client).list_node()
        found = [s.metadata.name for s in spaces.items if "ordeal" in s.metadata.name]
        found += [f"{n.metadata.name} is cordoned" for n in nodes.items if n.spec.unschedulable]
        found += [f"{each.kind} is pending" for each in pending(journals_dir())]
        return "; ".join(found)


def ended(child: "subprocess.Popen[str]") -> tuple[int, str]:
    """Its exit code, and what it said."""
    with child:
        said = child.communicate(timeout=1500)[0]
    return child.returncode, said


def begun(child: "subprocess.Popen[str]", word: str) -> str:
    """What it said until the word came."""
    said = ""
    assert child.stdout is not None
    for line in child.stdout:
        said += line
        if word in line:
            return said
    raise AssertionError(said[-3000:])


def incidents(results: Path) -> dict[str, dict[str, Any]]:
    """Those of the last run there, by control; "" is hardened."""
    written = json.loads((results / "latest" / "results.json").read_text())
    return {each.get("control", ""): each for each in written["incidents"]}


def verdicts(incident: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("reason", each["verdict"]) for each in incident["invariants"]}


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theirs]:
    folder = tmp_path_factory.mktemp("upgraded")
    with foreign_cluster("upgraded", DEFAULT_KUBERNETES, folder) as kubeconfig:
        write(Access(kubeconfig).client, Policy(nodes="", control_plane=True), replace=True)
        cluster = attach(kubeconfig, "", Shape())
        assert isinstance(cluster, KindCluster)
        Web("front", replicas=4, at_least=3).deploy(cluster, "theirs", "shop")
        script = folder / "upgrade.sh"
        script.write_text(SCRIPT)
        script.chmod(0o755)
        yield Theirs(kubeconfig, cluster, script)


@pytest.fixture(autouse=True)
def nothing_left(theirs: Theirs) -> Iterator[None]:
    yield
    with suppress(WaitedInVainError):  # a namespace that was deleted is there until the last of it is
        eventually(lambda: not theirs.leftovers(), within_s=120, what="all of ours to be gone", every_s=1.0)
    assert theirs.leftovers() == ""


def front(theirs: Theirs) -> tuple[str, int, str]:
    """What would show that somebody changed the Service that is watched, or its Deployment."""
    with theirs.cluster.api() as client:
        service: Any = k8s.CoreV1Api(client).read_namespaced_service("front", "shop")
        deployment: Any = k8s.AppsV1Api(client).read_namespaced_deployment("front", "shop")
    return service.metadata.resource_version, deployment.metadata.generation, deployment.metadata.uid


def test_node_by_node_it_is_held_with_its_control_and_the_bundle_is_verified(theirs: Theirs, tmp_path: Path) -> None:
    before, nodes = front(theirs), sorted(each.name for each in theirs.cluster.nodes())
    command = theirs.upgrade(*nodes)
    code, said = ended(theirs.replay(tmp_path, command))
    assert code == 0, said[-6000:]
    found = incidents(tmp_path)
    assert {control: each["verdict"] for control, each in found.items()} == {"": "held", "no-replica": "violated"}
    assert verdicts(found[""]) == {
        "outage-at-most-2s": "held",
        "only-drained-pods-evicted": "held",
        "each-node-upgraded": "held",
        "pods-run-throughout": "held",
        "new-pods-start": "held",
        f"watched-service-answers {WATCHED}": "held",
    }
    figures = next(each["figures"] for each in found[""]["invariants"] if each["name"] == "each-node-upgraded")
    assert (figures["nodes"], figures["upgraded"]) == (3, 3)
    assert verdicts(found["no-replica"])[f"watched-service-answers {WATCHED}"] == "held"
    (log,) = (tmp_path / "latest" / each["path"] for each in found[""]["evidence"] if each["name"] == OUTPUT)
    assert f"{nodes[-1]} has v" in log.read_text()
    assert front(theirs) == before
    pack(load(tmp_path), tmp_path / "bundle.zip", product.template())
    checked = verify(tmp_path / "bundle.zip")
    assert checked.verified, checked


def test_all_workers_at_once_is_violated_for_ours_and_for_theirs(theirs: Theirs, tmp_path: Path) -> None:
    limits = tmp_path / "limits.yaml"
    limits.write_text(f"{WATCHED}: {{limit_s: 2.5}}\n")
    workers = " ".join(sorted(theirs.cluster.workers))
    command = theirs.upgrade(workers, theirs.cluster.control_plane, how="--disable-eviction")
    code, said = ended(theirs.replay(tmp_path, command, "-k", "hardened", "--ordeal-limits", str(limits)))
    assert code == 1, said[-6000:]
    found = incidents(tmp_path)[""]
    assert found["verdict"] == "violated"
    told = verdicts(found)
    assert told["outage-at-most-2s"] == told[f"watched-service-answers {WATCHED}"] == "outage"
    assert told["only-drained-pods-evicted"] == "not-by-eviction"
    assert told["each-node-upgraded"] == "held"
    (watched,) = [each["sentence"] for each in found["invariants"] if each["name"].endswith(WATCHED)]
    assert watched.endswith("by a limit of its user's own: limit_s 2.5, shipped: 2")


def test_a_node_that_is_left_without_its_kubelet_is_violated(theirs: Theirs, tmp_path: Path) -> None:
    worker, control_plane = min(theirs.cluster.workers), theirs.cluster.control_plane
    ready = f"kubectl --kubeconfig /etc/kubernetes/admin.conf wait --for=condition=Ready=Unknown node/{worker}"
    leave = f"docker exec {worker} systemctl stop kubelet; docker exec {control_plane} {ready} --timeout 120s"
    upgrade = theirs.upgrade(*sorted(each.name for each in theirs.cluster.nodes()))
    try:
        code, said = ended(theirs.replay(tmp_path, shlex.join(["sh", "-ec", f"{upgrade}; {leave}"]), "-k", "hardened"))
    finally:
        docker.execute(worker, ["systemctl", "start", "kubelet"], timeout_s=60, check=True, stdin=None)
    assert code == 1, said[-6000:]
    told = verdicts(incidents(tmp_path)[""])
    assert (told["each-node-upgraded"], told["new-pods-start"]) == ("not-ready", "no-start")
    assert "to be gone, in vain" in said, "pods stay where no kubelet is"
    is_ready = lambda: all(each.ready == "True" for each in theirs.cluster.nodes())  # noqa: E731
    eventually(is_ready, within_s=120, what=f"{worker} to be Ready again")
    code, said = ended(theirs.command("chaos", "undo"))
    assert code == 0, said


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("sh -c 'echo there is no quorum; exit 3'", "the command did not succeed: exit 3: there is no quorum"),
        ("true", "nothing was upgraded"),
    ],
)
def test_a_command_that_fails_or_upgrades_nothing_is_unknown(
    theirs: Theirs, tmp_path: Path, command: str, says: str
) -> None:
    code, said = ended(theirs.replay(tmp_path, command, "-k", "hardened"))
    assert code == 1, said[-6000:]
    found = incidents(tmp_path)[""]
    assert found["verdict"] == "unknown"
    assert says in found["why"]


def asleep(theirs: Theirs, mark: str) -> list[str]:
    """The processes of a command that does nothing but sleep, by its own name for itself."""
    return run(["pgrep", "-f", f"^{mark} "], timeout_s=10, check=False).out.split()


def test_an_interrupt_and_a_halt_end_it_with_all_that_it_started(theirs: Theirs, tmp_path: Path) -> None:
    connect = Access(theirs.kubeconfig).client
    for how in ("an interrupt", "a halt"):
        mark = f"ordeal-{how.split()[-1]}"
        going = theirs.replay(tmp_path / mark, f"bash -c '(exec -a {mark} sleep 600) & wait'", "-k", "hardened")
        begun(going, "fault: upgrade-command")
        eventually(lambda: asleep(theirs, mark), within_s=60, what="the command to run")  # noqa: B023
        if how == "a halt":
            halt(connect, on=True)
        else:
            os.kill(going.pid, signal.SIGINT)
        code, said = ended(going)
        halt(connect, on=False)
        assert code == 2, said[-3000:]
        assert "cut short: an upgrade that was cut short may be half done" in said
        assert asleep(theirs, mark) == []
        assert incidents(tmp_path / mark)[""]["verdict"] == "unknown"


def test_of_a_killed_run_it_goes_on_and_undo_waits_and_says_what_is_left(theirs: Theirs, tmp_path: Path) -> None:
    going = theirs.replay(tmp_path, "bash -c 'exec -a ordeal-killed sleep 45'", "-k", "hardened")
    begun(going, "fault: upgrade-command")
    eventually(lambda: asleep(theirs, "ordeal-killed"), within_s=60, what="the command to run")
    with going:
        os.killpg(going.pid, signal.SIGKILL)
    assert asleep(theirs, "ordeal-killed")
    code, said = ended(theirs.command("chaos", "undo"))
    assert code == 0, said
    assert asleep(theirs, "ordeal-killed") == []
    assert "an upgrade that was cut short may be half done, and nothing here takes it back" in said


def test_one_that_the_owner_does_not_allow_is_skipped(theirs: Theirs, tmp_path: Path) -> None:
    connect = Access(theirs.kubeconfig).client
    write(connect, Policy(nodes=""), replace=True)
    try:
        code, said = ended(theirs.replay(tmp_path, "true", "-rs", "-k", "hardened"))
    finally:
        write(connect, Policy(nodes="", control_plane=True), replace=True)
    assert code == 0, said[-3000:]
    assert "upgrade-command names no node and no namespace: it is the control plane's" in said


def test_the_containers_are_the_nodes_that_were_upgraded(theirs: Theirs) -> None:
    """What the Nodes say is what the programs on the nodes say."""
    for node in theirs.cluster.nodes():
        said = docker.execute(node.name, ["kubelet", "--version"], timeout_s=20, check=True, stdin=None)
        assert said.out.strip().endswith(f".{theirs.patch[0]}")
