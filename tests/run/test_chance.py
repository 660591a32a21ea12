"""A hold that waits for taints says which node it has waited for in vain."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.clusters.shape import Timers
from chaos.record.doubts import NoChance
from chaos.record.history import History
from chaos.record.records import NodeChange
from chaos.run.chance import hold_for_taints

TAINT = ("node.kubernetes.io/unreachable:NoExecute",)


@pytest.mark.parametrize(("came", "missed"), [(True, []), (False, [("half", 0.0, 4.0)])])
def test_a_node_that_was_not_tainted_when_it_was_waited_for_no_longer_is_told(came: bool, missed: list[Any]) -> None:
    history = History(began=time.monotonic() - 60)
    history.add(NodeChange(1.0, "worker", "modified", "Unknown", taints=TAINT))
    history.add(NodeChange(1.0, "half", "modified", "True"))
    timers = Timers(toleration_s=4)
    lab: Any = SimpleNamespace(
        current=SimpleNamespace(shape=SimpleNamespace(timers=timers)), hold_until=lambda *_, **__: came
    )
    assert hold_for_taints(lab, history, ["worker", "half"]) is came
    assert [(m.node, m.tainted_s, m.tolerated_s) for m in history.of(NoChance)] == missed
