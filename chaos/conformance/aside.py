"""Nodes that are set aside before any spec: e2e.test waits for all others, and would wait for these in vain."""

from collections.abc import Sequence

from chaos.clusters.base import Node

CONTROL_PLANE = "node-role.kubernetes.io/control-plane"  # e2e.test's own default for the taints that don't count


def flags(nodes: Sequence[Node]) -> tuple[str, ...]:
    """Those of e2e.test for nodes with taints, and for so many that are not Ready; none where it needs none.

    Source: kubernetes/test/e2e/framework/test_context.go, --non-blocking-taints and --allowed-not-ready-nodes.
    """
    ready = [each for each in nodes if each.ready == "True"]
    taints = {_key(taint) for each in ready for taint in each.closed_by}
    away = len(nodes) - len(ready)
    named = [f"--non-blocking-taints={','.join(sorted({CONTROL_PLANE, *taints}))}"] if taints - {CONTROL_PLANE} else []
    return (*named, *([f"--allowed-not-ready-nodes={away}"] if away else []))


def told(nodes: Sequence[Node]) -> str:
    """Which nodes those are, and why, in words; "" where there are none."""
    return "; ".join(f"{each.name} {why}" for each in nodes if (why := _why(each)))


def _why(node: Node) -> str:
    if node.ready != "True":
        return "is not Ready"
    kept = next((taint for taint in node.closed_by if _key(taint) != CONTROL_PLANE), "")
    return f"has the taint {kept}" if kept else ""


def _key(taint: str) -> str:
    """A taint is written as KEY:EFFECT."""
    return taint.rpartition(":")[0]
