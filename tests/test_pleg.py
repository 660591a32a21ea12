"""What is read of a kubelet's metrics, and of what it says of itself."""

import pytest

from chaos.subjects.pleg.sampler import UNHEALTHY, parse, seconds

METRICS = """# HELP kubelet_pleg_last_seen_seconds Timestamp in seconds when PLEG was last seen active.
# TYPE kubelet_pleg_last_seen_seconds gauge
kubelet_pleg_last_seen_seconds 1.763729641e+09
kubelet_pleg_relist_duration_seconds_bucket{le="0.005"} 3
kubelet_pleg_relist_duration_seconds_sum 1.25
kubelet_pleg_relist_duration_seconds_count 7
kubelet_pleg_discard_events 0
go_goroutines 512
go_goroutines_like_this 1
process_open_fds 88
"""


def test_only_what_is_wanted_is_read() -> None:
    assert parse(METRICS) == {
        "kubelet_pleg_last_seen_seconds": 1763729641.0,
        "kubelet_pleg_relist_duration_seconds_sum": 1.25,
        "kubelet_pleg_relist_duration_seconds_count": 7.0,
        "kubelet_pleg_discard_events": 0.0,
        "go_goroutines": 512.0,
        "process_open_fds": 88.0,
    }


def test_metrics_of_something_else_are_refused() -> None:
    with pytest.raises(ValueError, match="kubelet_pleg_last_seen_seconds"):
        parse("go_goroutines 5\n")


@pytest.mark.parametrize(
    ("text", "expected"), [("7.234s", 7.234), ("3m32.5s", 212.5), ("58h29m1s", 210541), ("250ms", 0.25)]
)
def test_go_durations(text: str, expected: float) -> None:
    assert seconds(text) == pytest.approx(expected)


def test_the_kubelets_own_word_is_found_among_others() -> None:
    said = "[container runtime is down, PLEG is not healthy: pleg was last seen active 3m32.1s ago; threshold is 3m0s]"
    found = UNHEALTHY.search(said)
    assert found is not None
    assert found.group(1) == "3m32.1s"
