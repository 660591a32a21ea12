"""Faults on a real kind cluster: each lands, each is undone, and a run killed in the middle leaves nothing behind."""

import subprocess
import sys
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes.client import AppsV1Api

from chaos.clusters.abilities import missing
from chaos.clusters.base import EXISTING
from chaos.clusters.existing import cluster as existing
from chaos.clusters.kind import docker
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.kind.home import IMAGEFS
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.harm.ballast import FillFileSystem
from chaos.harm.base import FaultError, inject, registered
from chaos.harm.kubelet import SetKubeletConfig
from chaos.harm.link import BadLink
from chaos.harm.network import CutOff
from chaos.harm.node import Pause, PowerOff
from chaos.harm.scale import ScaleToZero
from chaos.harm.static_pod import PlaceStaticPod
from chaos.hosts.command import run
from chaos.hosts.places import journals_dir
from chaos.record.history import History
from chaos.record.journal import Journal
from chaos.run.pool import Pool
from chaos.run.undo import Permission, forget_entry, undo_all
from chaos.subjects.conforms.faults import CutPodRoutes
from chaos.subjects.control_plane.faults import PinKubelets
from chaos.subjects.eviction.faults import DropPriority
from chaos.subjects.preflight.faults import LeakKernelMemory, LeaveFiles
from tests.comparing import settled as still
from tests.comparing import wait_as_before
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone, fault_of
from tests.integration.impostor import impostor_of
from tests.integration.picture import unsound, wait_in_touch
from tests.moments import Moments


@dataclass(frozen=True)
class Picture:
    """A node as the kernel, the engine and the API show it; counters left out."""

    ready: dict[str, str]
    taints: dict[str, tuple[str, ...]]
    power: dict[str, tuple[str, str]]
    rules: dict[str, str]
    routes: dict[str, str]
    replicas: dict[str, tuple[int, int]]  # wanted and Ready, of the Deployments in kube-system


RULES = (
    ("iptables", "-S", "INPUT"),
    ("ip6tables", "-S"),
    ("iptables", "-t", "mangle", "-S", "PREROUTING"),
    ("ip6tables", "-t", "mangle", "-S", "PREROUTING"),
    ("tc", "qdisc", "show", "dev", "eth0"),
    ("ip", "rule"),
    ("ip", "-6", "rule"),
)


def picture(cluster: KindCluster) -> Picture:
    names = [n.name for n in cluster.nodes()]

    def inside(node: str, *argv: str) -> str:
        return run(cluster.in_network_of(node, argv), timeout_s=10).out

    def routes(node: str) -> str:
        """Without those to pods of the node itself: pods start again where there is room, with other addresses."""
        return "\n".join(sorted(line for line in inside(node, "ip", "route").splitlines() if " dev veth" not in line))

    with cluster.api() as client:
        deployments: list[Any] = AppsV1Api(client).list_namespaced_deployment("kube-system").items
    return Picture(
        ready={n.name: n.ready for n in cluster.nodes()},
        taints={n.name: n.taints for n in cluster.nodes()},
        power={n: (cluster.power_state(n), cluster.address(n)) for n in names},
        rules={n: "".join(inside(n, *argv) for argv in RULES) for n in names},
        routes={n: routes(n) for n in names},
        replicas={d.metadata.name: (d.spec.replicas, d.status.ready_replicas or 0) for d in deployments},
    )


def settled(cluster: KindCluster) -> Picture:
    """The picture once all is Ready: pods of a node that the test before took away are back later than their node, and
    its taints are gone later.
    """

    def trouble(now: Picture) -> str:
        short = [f"{name} has {there} of {wanted}" for name, (wanted, there) in now.replicas.items() if wanted != there]
        return "; ".join([*filter(None, [unsound(now.ready, now.taints)]), *short])

    return still(lambda: picture(cluster), trouble)


def as_before(cluster: KindCluster, before: Picture, kind: str) -> None:
    if kind in AWAY:
        wait_in_touch(cluster)
    wait_as_before(lambda: picture(cluster), before)


def faults_of(cluster: KindCluster) -> dict[str, dict[str, Any]]:
    worker = cluster.workers[0]
    return {
        PowerOff.kind: {"node": worker},
        Pause.kind: {"node": worker},
        BadLink.kind: {"one": worker, "others": [cluster.workers[1]], "rate_bits_per_s": 1_000_000, "loss": 0.2},
        CutOff.kind: {"nodes": list(cluster.workers), "peers": [cluster.control_plane]},
        FillFileSystem.kind: {"node": worker, "path": IMAGEFS, "used_percent": 95},
        SetKubeletConfig.kind: {"node": worker, "changes": {"evictionPressureTransitionPeriod": "10s"}},
        DropPriority.kind: {},
        PlaceStaticPod.kind: {"node": worker},
        PinKubelets.kind: {"nodes": list(cluster.workers)},
        LeakKernelMemory.kind: {"node": worker, "size_bytes": 32 * 1024**2},
        LeaveFiles.kind: {"node": worker, "size_bytes": 32 * 1024**2},
        CutPodRoutes.kind: {"node": worker},
        ScaleToZero.kind: {},
    }


KINDS = (
    PowerOff.kind,
    Pause.kind,
    BadLink.kind,
    CutOff.kind,
    FillFileSystem.kind,
    SetKubeletConfig.kind,
    DropPriority.kind,
    PlaceStaticPod.kind,
    PinKubelets.kind,
    LeakKernelMemory.kind,
    LeaveFiles.kind,
    CutPodRoutes.kind,
    ScaleToZero.kind,
)
# Whose kubelets lose the API server, or are restarted.
AWAY = {PowerOff.kind, Pause.kind, BadLink.kind, CutOff.kind, SetKubeletConfig.kind, PinKubelets.kind}


@pytest.mark.parametrize("kind", KINDS)
def test_lands_and_is_undone(kind_cluster: KindCluster, journal: Journal, kind: str) -> None:
    before = settled(kind_cluster)
    harm = fault_of(kind, faults_of(kind_cluster)[kind])
    with done_and_undone(harm, kind_cluster, journal):
        during = picture(kind_cluster) if kind in {CutOff.kind, BadLink.kind, CutPodRoutes.kind} else None
    if during is not None:
        assert during.rules != before.rules
    as_before(kind_cluster, before, kind)


CONNECT = """
import socket, sys
connection = socket.create_connection((sys.argv[1], 10250))
print("connected", flush=True)
sys.stdin.read()
"""


def test_a_node_without_power_says_no_goodbye(kind_cluster: KindCluster, journal: Journal) -> None:
    """A connection to it is not closed: its peers have to find out for themselves, as the kubelets of an API server."""
    before = settled(kind_cluster)
    worker, other = kind_cluster.workers[0], kind_cluster.workers[-1]
    address = kind_cluster.address(worker)
    ask = kind_cluster.in_network_of(other, ["ss", "-Htan", "dst", address, "dport", "=", ":10250"])
    client = kind_cluster.in_network_of(other, [sys.executable, "-c", CONNECT, address])
    with subprocess.Popen(client, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as connected:
        assert connected.stdout is not None
        assert connected.stdin is not None
        assert connected.stdout.readline() == "connected\n"
        with inject(fault_of(PowerOff.kind, {"node": worker}), kind_cluster, journal, History()):
            states = {line.split()[0] for line in run(ask, timeout_s=10).out.splitlines()}
        connected.stdin.close()
    assert states == {"ESTAB"}
    as_before(kind_cluster, before, PowerOff.kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_is_undone(kind_cluster: KindCluster, kind: str, moment: int, moments: Moments) -> None:
    before = settled(kind_cluster)
    kill_and_undo(kind_cluster, kind, faults_of(kind_cluster)[kind], moments)
    as_before(kind_cluster, before, kind)


# --- the right cluster, or nothing


def test_an_api_server_that_only_says_it_is_the_cluster_reaches_none_of_its_nodes(
    kind_cluster: KindCluster, pool: Pool, tmp_path: Path
) -> None:
    """By no fault, and by no undo of what was done to the cluster whose names and machines it says."""
    before, containers = settled(kind_cluster), docker.ids_in_cluster(kind_cluster.ref.name)
    with impostor_of(kind_cluster, pool) as other:
        reached = existing.attach(Path(other.ref.kubeconfig), other.ref.context, Shape())
        assert sorted(n.name for n in reached.nodes()) == sorted(containers)
        assert not isinstance(reached, KindCluster)
        meant = replace(kind_cluster.ref, kind=EXISTING, kubeconfig=other.ref.kubeconfig)
        run, faults = f"other-{uuid.uuid4().hex[:6]}", faults_of(kind_cluster)
        with Journal(tmp_path / "harm.jsonl") as journal:
            for kind in faults:
                needs = registered()[kind].needs
                if missing(reached, needs):
                    with (
                        pytest.raises(FaultError, match="needs a cluster with"),
                        inject(fault_of(kind, faults[kind]), reached, journal, History()),
                    ):
                        pass
                with (
                    pytest.raises(OrdealError, match="is not the one that is meant"),
                    inject(fault_of(kind, faults[kind]), existing.attach_again(meant, Shape()), journal, History()),
                ):
                    pass
        with Journal(journals_dir() / f"{run}.jsonl") as journal:
            for kind in faults:
                journal.planned(kind, meant, {"node": kind_cluster.workers[0]})
        handled = undo_all(print, Permission(existing=True))
        assert len(handled) == len(faults)
        assert all("the UID of the namespace kube-system was" in each.error for each in handled)
        for number in range(1, len(faults) + 1):
            forget_entry(f"{run}:{number}", print)
    assert settled(kind_cluster) == before
    assert docker.ids_in_cluster(kind_cluster.ref.name) == containers
