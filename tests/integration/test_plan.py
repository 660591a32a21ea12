"""A plan on a real API server: what it says of the nodes is true, and nothing on the cluster is another after it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client as k8s

from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.clusters.way.client import SYSTEM, Access
from chaos.run import guard
from chaos.run.policy import Policy
from chaos.run.pool import Pool
from tests.integration.crash import ROOT

AGENT = "registry.example/agent:never-pulled"


@pytest.fixture(scope="module")
def theirs(pool: Pool) -> Iterator[SimulatedCluster]:
    """A cluster of three nodes that stands for somebody else's; its owner allows one of them to be harmed."""
    cluster = pool.acquire(SIMULATED, Shape(workers=2))
    assert isinstance(cluster, SimulatedCluster)
    worker = workers(cluster)[0]
    with cluster.api() as client:
        k8s.CoreV1Api(client).patch_node(worker, {"metadata": {"labels": {"kube-ordeal/allowed": "true"}}})
    guard.write(connect(cluster), Policy(), replace=False)
    yield cluster
    with cluster.api() as client:
        k8s.CoreV1Api(client).delete_namespaced_config_map("kube-ordeal-guard", SYSTEM)


def connect(cluster: SimulatedCluster) -> Any:
    return Access(Path(cluster.ref.kubeconfig), cluster.ref.context).client


def workers(cluster: SimulatedCluster) -> list[str]:
    return sorted(each.name for each in cluster.nodes() if not each.control_plane)


def planned(cluster: SimulatedCluster, folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    given = ["--ordeal-cluster", "existing", "--ordeal-kubeconfig", cluster.ref.kubeconfig, *options]
    argv = [sys.executable, "-m", "chaos.cli.app", "plan", *given, "--ordeal-results", str(folder / "results")]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def picture(cluster: SimulatedCluster) -> dict[str, object]:
    """What there is, but for heartbeats and events, which come and go by themselves."""
    with cluster.api() as client:
        core, apps = k8s.CoreV1Api(client), k8s.AppsV1Api(client)
        nodes: list[Any] = core.list_node().items
        held: list[Any] = core.list_namespaced_config_map(SYSTEM).items
        leases: list[Any] = k8s.CoordinationV1Api(client).list_namespaced_lease(SYSTEM).items
        return {
            "namespaces": sorted(_named(core.list_namespace())),
            "pods": sorted(_named(core.list_pod_for_all_namespaces())),
            "daemonsets": sorted(_named(apps.list_daemon_set_for_all_namespaces())),
            "leases": sorted(each.metadata.name for each in leases),
            "configmaps": {each.metadata.name: each.data for each in held},
            "nodes": {each.metadata.name: (each.metadata.labels, each.spec.taints) for each in nodes},
        }


def _named(listed: Any) -> list[str]:
    return [each.metadata.name for each in listed.items]


def test_a_plan_tells_which_node_would_be_harmed_and_leaves_all_as_it_was(
    theirs: SimulatedCluster, tmp_path: Path
) -> None:
    before = picture(theirs)
    done = planned(theirs, tmp_path, "--json", "--ordeal-agent-image", AGENT)
    assert done.returncode == 0, done.stdout + done.stderr
    made = json.loads(done.stdout)
    allowed = workers(theirs)[0]
    assert made["cluster"]["agents_on"] == [allowed]
    assert made["cluster"]["kubernetes"] == theirs.kubernetes
    assert {each["name"] for each in made["cluster"]["nodes"]} == {each.name for each in theirs.nodes()}
    by_test = {each["test"].partition("::")[2]: each for each in made["replays"]}
    cut = by_test["test_nodes_that_lose_the_apiserver_keep_their_pods[existing-hardened]"]
    assert (cut["fate"], cut["takes"]) == ("runs", [allowed])
    renamed = by_test["test_a_pinned_name_outlives_the_hostname[existing-hardened]"]
    assert renamed["fate"] == "skipped"
    assert "it needs 2 workers that are Ready, take pods and may be harmed; there are 1" in renamed["why"]
    assert picture(theirs) == before
    assert not (tmp_path / "results").exists()


def test_nothing_would_run_where_the_owner_has_halted(theirs: SimulatedCluster, tmp_path: Path) -> None:
    guard.halt(connect(theirs), on=True)
    try:
        done = planned(theirs, tmp_path, "--ordeal-agent-image", AGENT, "suites/control_plane")
    finally:
        guard.halt(connect(theirs), on=False)
    assert done.returncode == 1, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "nothing would begin now: the owner has halted all harm" in said
    assert "nothing would be replayed" in said
    assert "Traceback" not in done.stdout + done.stderr
