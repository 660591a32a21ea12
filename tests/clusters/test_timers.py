"""How long node eviction can take by its timers and turns."""

from chaos.clusters.shape import Timers


def test_each_node_has_its_turn_before_its_pods_go() -> None:
    timers = Timers(monitor_grace_s=8, monitor_period_s=1, toleration_s=4)
    assert timers.eviction_deadline_s == 13
    assert [timers.eviction_deadline_of(nodes) for nodes in (0, 1, 2)] == [13, 23, 33]


def test_without_a_rate_no_turn_ever_comes() -> None:
    assert Timers(eviction_rate=0.0).eviction_deadline_of(1) == float("inf")
    assert Timers(eviction_rate=0.0).eviction_deadline_of(0) == Timers().eviction_deadline_s
