"""What is said where a workload can't be made, or taken away: a sentence, never a dump of the answer."""

from pathlib import Path

import pytest

from chaos.clusters.base import EXISTING, ClusterRef, Images
from chaos.clusters.existing.cluster import ExistingCluster
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.subjects.mysql.named import Named
from chaos.workloads.web import Web, remove_namespace
from tests.fake_apiserver import FakeApiServer


def test_a_namespace_that_may_not_be_deleted_is_one_sentence(tmp_path: Path) -> None:
    with FakeApiServer(tmp_path) as api:
        ref = ClusterRef(EXISTING, "theirs", str(api.kubeconfig))
        with pytest.raises(OrdealError) as refused:
            remove_namespace(ExistingCluster(ref, Shape(), Images("busybox")), "ordeal-web")
    said = str(refused.value)
    assert said.startswith("namespace ordeal-web can't be deleted on theirs: HTTP 403 Forbidden")
    assert "\n" not in said


@pytest.mark.parametrize("workload", [Web(), Named("mysql:8.0.11")])
def test_a_workload_that_may_not_be_made_is_one_sentence(tmp_path: Path, workload: Web | Named) -> None:
    with FakeApiServer(tmp_path) as api:
        ref = ClusterRef(EXISTING, "theirs", str(api.kubeconfig))
        with pytest.raises(OrdealError) as refused:
            workload.deploy(ExistingCluster(ref, Shape(), Images("busybox")), "run", "ordeal-x")
    assert str(refused.value).endswith("can't be created on theirs: not here")
