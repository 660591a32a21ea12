"""Runs that are killed while an API can't be listed, and what is left of it after `kube-ordeal undo`."""

from dataclasses import asdict

import pytest

from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape
from chaos.clusters.simulated.cluster import SimulatedCluster
from chaos.run.pool import Pool
from chaos.subjects.garbage import faults
from chaos.subjects.garbage.faults import BreakConversion, LoseAggregatedApi
from tests.integration.crash import kill_and_undo
from tests.moments import Moments

EACH = [
    BreakConversion(),
    pytest.param(LoseAggregatedApi(), marks=pytest.mark.nightly("the other API, by the same way")),
]


@pytest.mark.parametrize("harm", EACH, ids=lambda harm: harm.kind)
def test_a_killed_run_is_undone(pool: Pool, moments: Moments, harm: BreakConversion | LoseAggregatedApi) -> None:
    cluster = pool.acquire(SIMULATED, Shape(workers=1))
    assert isinstance(cluster, SimulatedCluster)
    kill_and_undo(cluster, harm.kind, asdict(harm), moments, within_s=12)  # so long its controller manager takes
    assert cluster.controller_manager_running()
    assert faults.conversion(cluster) is None
    assert not faults.api_service(cluster)
