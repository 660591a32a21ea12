"""Faults of kube-proxy and its rules on a real kind cluster: they land, are undone, also after a killed run."""

from typing import Any

import pytest

from chaos.clusters.kind.cluster import KindCluster
from chaos.harm.base import registered
from chaos.harm.kube_proxy import SwapKubeProxy
from chaos.hosts import mutants
from chaos.record.journal import Journal
from chaos.subjects.stale_rules.asking import ask, wanted
from chaos.subjects.stale_rules.faults import LeaveChain, SetProxyMode
from tests.comparing import wait_as_before
from tests.integration.crash import kill_and_undo
from tests.integration.harm import done_and_undone
from tests.integration.picture import picture, picture_of_still
from tests.moments import Moments

KINDS = (LeaveChain.kind, SetProxyMode.kind, SwapKubeProxy.kind)
ALL_ANEW = "starts every kube-proxy anew, twice"


def given(cluster: KindCluster, kind: str) -> dict[str, Any]:
    if kind == LeaveChain.kind:
        return {"node": cluster.workers[-1], "address": min(wanted(cluster, "kube-system", "kube-dns"))}
    if kind == SetProxyMode.kind:
        return {"mode": "nftables"}
    return {"path": str(mutants.build("conntrack-kept", cluster.kubernetes, report=print).path)}


@pytest.mark.parametrize(
    "kind",
    [
        LeaveChain.kind,
        pytest.param(SetProxyMode.kind, marks=pytest.mark.nightly(ALL_ANEW)),
        pytest.param(SwapKubeProxy.kind, marks=pytest.mark.nightly(ALL_ANEW)),
    ],
)
def test_lands_and_is_undone(kind_cluster: KindCluster, journal: Journal, kind: str) -> None:
    with done_and_undone(registered()[kind](**given(kind_cluster, kind)), kind_cluster, journal):
        said = ask(kind_cluster, kind_cluster.workers[-1])
        assert said.mode == ("nftables" if kind == SetProxyMode.kind else "iptables")
    assert ask(kind_cluster, kind_cluster.workers[-1]).mode == "iptables"


@pytest.mark.nightly("a killed run of three faults more, of which two start every kube-proxy anew")
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_is_undone(kind_cluster: KindCluster, kind: str, moment: int, moments: Moments) -> None:
    before = picture_of_still(kind_cluster)
    kill_and_undo(kind_cluster, kind, given(kind_cluster, kind), moments)
    wait_as_before(lambda: picture(kind_cluster), before)
