"""For how long a node carried a taint that ends its pods."""

from chaos.judge.taint_rates import tainted_s
from chaos.record.history import Window
from chaos.record.records import NodeChange
from tests.judge.histories import history

UNREACHABLE, NOT_READY = (f"node.kubernetes.io/{each}:NoExecute" for each in ("unreachable", "not-ready"))


def node(at: float, name: str, ready: str = "True", *taints: str, change: str = "modified") -> NodeChange:
    return NodeChange(at, name, change, ready, taints=taints)


def test_the_longest_time_with_a_taint_in_the_window_is_measured() -> None:
    seen = history(
        node(1, "a", "True"),
        node(2, "a", "Unknown", UNREACHABLE),
        node(4, "a", "False", NOT_READY),
        node(5, "a"),
        node(8, "a", "Unknown", UNREACHABLE),
        node(9.5, "a"),
        node(3, "b", "Unknown", UNREACHABLE),
        node(6, "b", "Unknown", UNREACHABLE, change="deleted"),
        node(7, "c", "Unknown", UNREACHABLE),
        node(10, "d", "Unknown", UNREACHABLE),
    )
    assert tainted_s(seen, ["a", "b", "c"]) == {"a": 3.0, "b": 3.0, "c": 3.0}
    assert tainted_s(seen, ["a", "b", "c", "e"], Window(4.0, 9.0)) == {"a": 1.0, "b": 2.0, "c": 2.0, "e": 0.0}
