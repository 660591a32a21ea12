"""Whether heartbeats have stopped, or go on, is told by leases' ages, which no clock of this machine has a part in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from kubernetes import client as k8s

from chaos.errors import OrdealError
from chaos.harm.heartbeats import StopHeartbeats, StopHeartbeatsPlan
from chaos.harm.network import CutOff, CutOffPlan

# The API server's clock is another one than this machine's, by years.
THERE = datetime(2020, 1, 1, 12, tzinfo=UTC)
LASTS_S = 40
SAVED = StopHeartbeatsPlan(("workers",))


class Simulated:
    """Two nodes in a group, whose heartbeats stand still or not."""

    stopped = True

    @contextmanager
    def api(self) -> Iterator[Any]:
        yield SimpleNamespace(configuration=SimpleNamespace(host="https://there"))

    def nodes_of(self, group: str) -> Sequence[str]:
        return ("w1", "w2")

    def heartbeats_stopped(self, group: str) -> bool:
        return self.stopped


@pytest.fixture
def leases(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """For each node how many seconds ago it renewed its lease, by the API server's clock."""
    ages: dict[str, float] = {}

    def answer(*_: object, **__: object) -> Any:
        items = [
            {
                "metadata": {"name": node},
                "spec": {"renewTime": (THERE - timedelta(seconds=age_s)).isoformat(), "leaseDurationSeconds": LASTS_S},
            }
            for node, age_s in ages.items()
        ]
        headers = {"Date": format_datetime(THERE, usegmt=True)}
        return SimpleNamespace(data=msgspec.json.encode({"items": items}), headers=headers)

    monkeypatch.setattr(k8s, "CoordinationV1Api", lambda _: SimpleNamespace(list_namespaced_lease=answer))
    return ages


@pytest.mark.parametrize(("oldest_s", "landed"), [(10.0, False), (12.4, False), (12.6, True), (3600.0, True)])
def test_they_have_stopped_where_each_lease_has_missed_a_renewal(
    leases: dict[str, float], oldest_s: float, landed: bool
) -> None:
    leases |= {"w1": 13.0, "w2": oldest_s}
    cluster: Any = Simulated()
    assert StopHeartbeats(("workers",)).landed(cluster, SAVED) is landed


@pytest.mark.parametrize(("oldest_s", "undone"), [(1.0, True), (38.9, True), (39.5, False), (3600.0, False)])
def test_they_go_on_where_no_lease_can_have_run_out(leases: dict[str, float], oldest_s: float, undone: bool) -> None:
    """The date of an answer has whole seconds: 39.5 may be 40.4."""
    leases |= {"w1": 0.0, "w2": oldest_s}
    cluster: Any = Simulated()
    assert not StopHeartbeats.undone(cluster, SAVED)
    cluster.stopped = False
    assert StopHeartbeats.undone(cluster, SAVED) is undone


def test_a_node_that_never_had_a_lease_is_an_error(leases: dict[str, float]) -> None:
    leases["w1"] = 20.0
    cluster: Any = Simulated()
    with pytest.raises(OrdealError, match="node w2 has no lease in kube-node-lease"):
        StopHeartbeats(("workers",)).landed(cluster, SAVED)


@pytest.mark.parametrize(("age_s", "landed"), [(23.0, False), (25.0, True)])
def test_nodes_are_cut_off_where_their_leases_are_stale(
    leases: dict[str, float], monkeypatch: pytest.MonkeyPatch, age_s: float, landed: bool
) -> None:
    monkeypatch.setattr("chaos.harm.network._rules", lambda *_: True)
    leases |= {"w1": 30.0, "w2": age_s}
    cluster: Any = Simulated()
    assert CutOff(("w1", "w2"), ("cp",)).landed(cluster, CutOffPlan(("w1", "w2"), ("10.0.0.1",))) is landed
