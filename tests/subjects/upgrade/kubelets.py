"""Nodes with the kubelets of an upgrade, as its judges see them."""

from chaos.record.records import NodeChange

OLD, NEW = "v1.34.4", "v1.35.4"


def node(at: float, ready: str = "True", kubelet: str = OLD, name: str = "worker", **more: object) -> NodeChange:
    """A change of a node that is seen."""
    return NodeChange(at, name, "modified", ready, kubelet=kubelet, **more)  # type: ignore[arg-type]
