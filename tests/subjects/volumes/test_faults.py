"""What moves pods with volumes: what is refused before any harm, and the manifests of our own CSI driver."""

from pathlib import Path
from string import Template
from typing import Any

import pytest
import yaml

from chaos.clusters.base import KIND, ClusterRef, Node
from chaos.errors import OrdealError
from chaos.hosts.places import manifests_dir
from chaos.subjects.volumes.driver import FILES
from chaos.subjects.volumes.handover import OUT_OF_SERVICE, MarkOutOfService, MarkOutOfServicePlan, UpdateElsewhere
from chaos.subjects.volumes.pool import CLASS, DRIVER, NAMESPACE, POD
from chaos.subjects.volumes.workload import WRITERS, affinity


class FakeCluster:
    """A control plane, a worker that is Ready, one that is not, and one that somebody has marked already."""

    ref = ClusterRef(KIND, "fake", "kubeconfig")

    def nodes(self) -> tuple[Node, ...]:
        def node(name: str, ready: str, *taints: str) -> Node:
            return Node(name, name == "cp", ready, "172.18.0.2", "", taints)

        lost = "node.kubernetes.io/unreachable:NoExecute"
        return (
            node("cp", "True"),
            node("w1", "True"),
            node("w2", "Unknown", lost),
            node("w3", "Unknown", lost, f"{OUT_OF_SERVICE}:NoExecute"),
        )


@pytest.mark.parametrize(
    ("node", "sentence"),
    [
        ("w1", "node w1 is Ready"),
        ("w3", "marked as out of service already"),
        ("w9", "there is no node w9"),
    ],
)
def test_only_a_node_that_may_be_off_is_marked(node: str, sentence: str) -> None:
    cluster: Any = FakeCluster()
    with pytest.raises(OrdealError, match=sentence):
        MarkOutOfService(node).plan(cluster)


def test_a_lost_node_is_marked() -> None:
    cluster: Any = FakeCluster()
    assert MarkOutOfService("w2").plan(cluster) == MarkOutOfServicePlan("w2")


def test_an_update_needs_another_node() -> None:
    cluster: Any = FakeCluster()
    with pytest.raises(OrdealError, match="no other Ready worker than w1"):
        UpdateElsewhere(("ns/recreate",), "w1").plan(cluster)


def test_an_affinity_that_asks_for_nothing_is_empty() -> None:
    assert affinity() == {"nodeAffinity": {}}


GIVEN = {
    "namespace": NAMESPACE, "run": "r", "image": "ceph", "node": "cp", "address": "172.18.0.2", "shared": "/shared",
    "attach": "true", "release_lock": "false", "fence": "true",
}  # fmt: skip


def filled(path: Path, **given: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(Template(path.read_text()).substitute(given)))


def test_the_drivers_manifests_are_whole() -> None:
    folder = manifests_dir() / "csi-rbd-lock"
    assert {path.stem for path in folder.glob("*.yaml")} == set(FILES)
    there = [each for name in FILES for each in filled(folder / f"{name}.yaml", **GIVEN)]
    by_kind = {each["kind"]: each for each in there}
    assert by_kind["Namespace"]["metadata"]["name"] == NAMESPACE
    assert by_kind["Pod"]["metadata"]["name"] == POD
    assert by_kind["CSIDriver"]["metadata"]["name"] == DRIVER
    assert by_kind["CSIDriver"]["spec"]["attachRequired"] is True
    assert by_kind["StorageClass"]["metadata"]["name"] == CLASS
    assert by_kind["StorageClass"]["provisioner"] == DRIVER
    assert by_kind["StorageClass"]["parameters"] == {"releaseLock": "false", "fence": "true"}
    of_the_whole_cluster = {"Namespace", "CSIDriver", "StorageClass", "ClusterRole", "ClusterRoleBinding"}
    assert all(
        each["metadata"].get("namespace") == NAMESPACE for each in there if each["kind"] not in of_the_whole_cluster
    )


@pytest.mark.parametrize("name", WRITERS)
def test_the_writers_manifests_are_whole(name: str) -> None:
    given = {"name": name, "namespace": "ns", "run": "r", "storage_class": "c", "strategy": "Recreate", "image": "i"}
    there = filled(manifests_dir() / "volume-writer.yaml", affinity='{"nodeAffinity": {}}', **given)
    pods = [each["spec"]["template"]["spec"] for each in there if each["kind"] in {"Deployment", "StatefulSet"}]
    assert pods[0] == pods[1], "the same pod, whoever makes it"
    (script,) = [each["data"]["write"] for each in there if each["kind"] == "ConfigMap"]
    assert "$$" not in script
    assert '"$log"' in script
