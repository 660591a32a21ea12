"""Limits of promises, from what was measured before."""

from typing import Any

import pytest

from chaos.basics.untrusted import yaml_of
from chaos.errors import OrdealError
from chaos.judge import load_all
from chaos.judge.base import bounded_figures, limits_of, promises
from chaos.results.past import PastRun
from chaos.results.past_limits import Basis, PastLimits, document, limits_from, percent_of
from tests.results.past_made import judged, measured, past, replayed

BASIS = Basis("1.34.4", "smoke", "2")
# Limits that are no wish, but what is configured: the kubelet's threshold after which it says of itself that it is ill.
CONFIGURED = {("pleg_last_seen", "limit_s"), ("pleg_recovers", "limit_s")}


def runs(*values: float, **fields: Any) -> list[PastRun]:
    return [measured(n, value, **fields) for n, value in enumerate(values)]


def given(found: PastLimits) -> object:
    """What a reader of the file makes of it."""
    return yaml_of("\n".join(document(found)).encode())


def test_the_limit_is_the_percentile_in_the_unit_of_the_limit() -> None:
    found = limits_from(runs(*range(1000, 1100)), 99, BASIS)
    assert given(found) == {"outage-at-most": {"limit_s": 1.1}}  # 1.098 s, rounded up
    assert not found.limits[0].greatest
    assert given(limits_from(runs(*range(1000, 1100)), 95, BASIS)) == {"outage-at-most": {"limit_s": 1.1}}
    assert found.limits[0].values == 100


def test_of_fewer_than_a_hundred_it_is_the_greatest_which_the_file_says() -> None:
    found = limits_from(runs(*[100.0] * 19, 220.4), 99, BASIS)
    assert given(found) == {"outage-at-most": {"limit_s": 0.221}}
    said = "\n".join(document(found))
    assert "P99 of what was measured with Kubernetes 1.34.4, profile smoke, 2 cpus" in said
    assert "the greatest of 20 values" in said


def test_controls_and_what_did_not_hold_count_nothing() -> None:
    bad = [
        past(30, replayed(judged("violated", longest_outage_ms=9e6))),
        past(
            31, replayed(judged(longest_outage_ms=9e6), control="default-tolerations", verdict="violated", passed=True)
        ),
        past(32, replayed(judged(longest_outage_ms=9e6), judged("unknown", "other"), verdict="unknown")),
    ]
    assert given(limits_from([*runs(*[100.0] * 20), *bad], 99, BASIS)) == {"outage-at-most": {"limit_s": 0.1}}


def test_other_versions_profiles_and_machines_count_nothing() -> None:
    others = [
        measured(50, 9e6, kubernetes="1.36.3"),
        measured(51, 9e6, profile="full"),
        past(52, replayed(judged(longest_outage_ms=9e6)), cpus="8"),
    ]
    assert given(limits_from([*runs(*[100.0] * 20), *others], 99, BASIS)) == {"outage-at-most": {"limit_s": 0.1}}
    with pytest.raises(
        OrdealError, match=r"no run of Kubernetes 1\.99\.0, .* it has Kubernetes 1\.34\.4, profile smoke"
    ):
        limits_from(others[:0] + runs(1), 99, Basis("1.99.0", "smoke", "2"))


def test_a_limit_is_for_all_replays_so_the_slowest_counts_and_each_needs_enough_runs() -> None:
    slow = [past(n, replayed(judged(longest_outage_ms=500 + n), replay="slow")) for n in range(100, 120)]
    found = limits_from([*runs(*[100.0] * 20), *slow], 99, BASIS)
    assert found.limits[0].key.replay == "slow"
    assert given(found) == {"outage-at-most": {"limit_s": 0.619}}
    few = limits_from([*runs(*[100.0] * 20), *slow[:3]], 99, BASIS)
    assert not few.limits
    assert few.left_out == ("outage-at-most: mass-termination (slow) on kind has it from 3 runs, and 20 are needed",)
    assert limits_from([*runs(*[100.0] * 20), *slow[:3]], 99, BASIS, 3).limits


def test_whole_numbers_and_small_ones_are_written_as_their_readers_take_them() -> None:
    def all_three(n: int) -> PastRun:
        return past(
            n,
            replayed(
                judged(promise="slab_does_not_grow", grown_bytes_per_200=1234567 + n),
                judged(promise="new_pods_start", invariant="new-pods-start", slowest_s=0.000012),
                judged(promise="disk_use_bounded", invariant="disk-use-bounded", most_bytes_m=5),
            ),
        )

    found = limits_from([all_three(n) for n in range(20)], 95, BASIS)
    assert given(found) == {
        "disk-use-bounded": {"limit_bytes": 5},
        "new-pods-start": {"within_s": 0.000012},
        "slab-does-not-grow": {"limit_bytes_per_200": 1240000},
    }


def test_a_percentile_is_p95_or_p99() -> None:
    assert [percent_of(each) for each in ("p95", "p99")] == [95, 99]
    with pytest.raises(OrdealError, match="say p95 or p99"):
        percent_of("p50")


def test_every_limit_of_a_promise_says_which_figure_it_bounds() -> None:
    load_all()
    limits = {(promise, argument) for promise in promises() for argument in limits_of(promise)}
    marked = {(promise, argument) for promise in promises() for argument in bounded_figures(promise)}
    assert marked == limits - CONFIGURED
