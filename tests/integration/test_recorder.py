"""The recorder on a real control plane with simulated nodes: nothing lost, nothing doubled, whatever happens to it."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.basics.waiting import eventually, hold
from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape, Timers, Zone
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.record.history import History
from chaos.record.recorder import Recorder
from chaos.record.records import Blind, NodeChange, PodChange
from chaos.record.stream import LATE_S
from chaos.run.pool import Pool
from tests.churn import WORKLOAD, churn, request, witnessed

PODS = 500


@pytest.fixture(scope="module")
def cluster(pool: Pool) -> Iterator[SimulatedCluster]:
    made = pool.acquire(SIMULATED, Shape(workers=0, zones=(Zone("a", 50),)))
    assert isinstance(made, SimulatedCluster)
    yield made
    pool.take_down(SIMULATED)


def listed(cluster: SimulatedCluster, resource: str) -> dict[str, str]:
    with cluster.api() as client:
        items = request(client, "GET", f"/api/v1/{resource}")["items"]
    return {i["metadata"]["uid"]: i["metadata"]["resourceVersion"] for i in items}


def state(history: History) -> dict[str, str]:
    """The pods that the history leaves, by uid."""
    left: dict[str, str] = {}
    for pod in history.of(PodChange):
        if pod.change == "deleted":
            del left[pod.uid]
        else:
            left[pod.uid] = pod.resource_version
    return left


def no_doubles(history: History) -> None:
    seen = Counter((p.uid, p.resource_version, p.change) for p in history.of(PodChange))
    assert not [key for key, times in seen.items() if times > 1]


def test_a_churn_is_recorded_as_etcd_saw_it(cluster: SimulatedCluster, tmp_path: Path) -> None:
    history = History()
    with witnessed(cluster, tmp_path / "witness") as told, Recorder(history, cluster.api):
        churn(cluster, "create", PODS)
        churn(cluster, "delete", PODS)
        eventually(
            lambda: sum(word == "delete" for word, _ in told()) == PODS,
            within_s=120,
            what="etcd to have seen every pod deleted",
            every_s=1.0,
        )
    assert [p.resource_version for p in history.of(PodChange)] == [revision for _, revision in told()]
    no_doubles(history)
    assert not [b for b in history.of(Blind) if not b.complete]
    assert {p.change for p in history.of(PodChange) if p.workload == WORKLOAD} == {"added", "modified", "deleted"}


def test_an_api_server_that_dies_and_returns(cluster: SimulatedCluster) -> None:
    """Nothing is lost, whether its new watch cache has what is resumed from, or not (410: a full list is compared).

    It stays away for longer than what counts as blind: on a quiet machine it answers again within a second.
    """
    churn(cluster, "create", 50)
    history = History()
    with Recorder(history, cluster.api) as recorder:
        before = state(history)
        assert len(before) == 50
        cluster.stop_first_control_plane()
        eventually(lambda: not cluster.first_control_plane_running(), within_s=20, what="the control plane to be dead")
        dead = history.now()
        hold(2 * LATE_S)
        cluster.start_first_control_plane()
        churn(cluster, "delete", 50)
        eventually(lambda: not listed(cluster, "pods"), within_s=120, what="all pods to be gone", every_s=1.0)
        assert recorder.catch_up(within_s=30)
        assert not state(history)
    no_doubles(history)
    blind = [b for b in history.of(Blind) if b.source == "watch:pods"]
    assert blind
    assert all(b.complete for b in history.of(Blind))
    assert blind[0].at <= dead
    assert not [p for p in history.of(PodChange) if dead < p.at < blind[0].until]


def test_a_switch_to_a_second_control_plane(cluster: SimulatedCluster) -> None:
    churn(cluster, "create", 20)
    history = History()
    with Recorder(history, cluster.api) as recorder:
        cluster.stop_first_control_plane()
        cluster.start_second_control_plane(Timers(), "*,-node-lifecycle-controller")
        try:
            recorder.switch(cluster.second_api)
            recorder.wait_synced()
            assert recorder.catch_up(within_s=30)
            assert len(state(history)) == 20
            assert len({n.name for n in history.of(NodeChange)}) == 51  # with the control plane's own
            assert all(b.complete for b in history.of(Blind))
        finally:
            cluster.stop_second_control_plane()
            cluster.start_first_control_plane()
        recorder.switch(cluster.api)
        recorder.wait_synced()
    no_doubles(history)
    churn(cluster, "delete", 20)
