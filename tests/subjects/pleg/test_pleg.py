"""What is read of a kubelet's metrics, and of what it says of itself."""

import pytest

from chaos.subjects.pleg.sampler import parse, reported_age_s

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


@pytest.mark.parametrize("value", ["", "  ", "five", "NaN", "+Inf", "1e999"])
def test_a_metric_that_is_no_number_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r"could not convert|no finite number"):
        parse(METRICS + f"kubelet_pleg_last_seen_seconds {value}\n")


def test_what_is_wrong_elsewhere_in_the_metrics_does_no_harm() -> None:
    """A parser of the whole format refuses each of these, and then nothing would be known of the kubelet."""
    others = ["a{", '{"', "x", 'a{b="c\u2028go_goroutines 7"} 1', "go_goroutines", '# TYPE "']
    assert parse("\n".join([*others, METRICS])) == parse(METRICS)


@pytest.mark.parametrize(
    ("age", "expected"),
    [
        ("3m32.1s", 212.1),
        ("5 parsecs", None),
        ("5x", None),
        ("1..2s", None),
        ("9" * 60 + "h", None),
        ("1" * 9999, None),
    ],
)
def test_the_kubelets_own_word_is_found_among_others(age: str, expected: float | None) -> None:
    said = f"[container runtime is down, PLEG is not healthy: pleg was last seen active {age} ago; threshold is 3m0s]"
    assert reported_age_s(said) == expected
    assert reported_age_s("kubelet is posting ready status") is None
