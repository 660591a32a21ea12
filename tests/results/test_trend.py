"""Percentiles, and what is told of figures over many runs: under equal conditions, and how many there are."""

from math import ceil
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.results.figures import UNITS, amount, common_name, unit_of, worst
from chaos.results.key import Key
from chaos.results.past import PastRun
from chaos.results.trend import Trend, is_greatest, middle, percentile, trends, verdicts
from tests.results.past_made import OUTAGE, judged, measured, past, replayed

VALUES = st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=250)


@given(VALUES, st.sampled_from([50, 75, 95, 99]))
def test_a_percentile_is_the_smallest_value_that_so_many_are_no_larger_than(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert 100 * sum(v <= found for v in values) >= percent * len(values)
    assert 100 * sum(v < found for v in values) < percent * len(values)


@given(VALUES)
def test_percentiles_do_not_depend_on_the_order_and_lie_between_the_ends(values: list[float]) -> None:
    assert percentile(values, 95) == percentile(values[::-1], 95)
    assert min(values) <= middle(values) <= percentile(values, 95) <= percentile(values, 99) <= max(values)


@pytest.mark.parametrize(
    ("count", "p95", "p99"),
    [(1, True, True), (19, True, True), (20, False, True), (99, False, True), (100, False, False)],
)
def test_of_few_values_a_percentile_is_the_greatest(count: int, p95: bool, p99: bool) -> None:
    assert (is_greatest(count, 95), is_greatest(count, 99)) == (p95, p99)
    assert percentile(range(count), 99) == (count - 1 if p99 else ceil(0.99 * count) - 1)


def test_of_none_there_is_no_percentile() -> None:
    with pytest.raises(ValueError, match="no value"):
        percentile([], 99)


def only(found: tuple[Trend, ...], figure: str = OUTAGE) -> Trend:
    (one,) = [each for each in found if each.key.figure == figure]
    return one


def test_a_trend_is_in_the_order_of_time() -> None:
    one = only(trends([measured(n, v) for n, v in ((2, 30), (0, 10), (1, 20))]))
    assert list(one.values) == [10, 20, 30]
    assert one.key.of == Key("mass-termination", "", "kind", "")
    assert (one.key.invariant, one.key.unit) == ("outage-at-most-2s", UNITS["ms"])
    assert one.memory == ("8.0 GiB",)


@pytest.mark.parametrize("of_replay", [{"kubernetes": "1.36.3"}, {"image": "node:v2"}, {"profile": "full"}])
def test_versions_images_and_profiles_are_not_mixed(of_replay: dict[str, Any]) -> None:
    found = trends([measured(0, 10), measured(1, 20, **of_replay)])
    assert [each.values for each in found] in ([(10,), (20,)], [(20,), (10,)])


def test_machines_of_other_processors_are_not_mixed_and_their_memory_is_told() -> None:
    runs = [measured(0, 10), measured(1, 20), measured(2, 30)]
    runs[1] = msgspec.structs.replace(runs[1], cpus="8")
    runs[2] = msgspec.structs.replace(runs[2], memory="16.0 GiB")
    found = {each.conditions.cpus: each for each in trends(runs)}
    assert (found["2"].values, found["8"].values) == ((10, 30), (20,))
    assert found["2"].memory == ("16.0 GiB", "8.0 GiB")
    assert "8 cpus" in str(found["8"].conditions)


def test_what_is_unknown_has_no_value_and_is_counted() -> None:
    crashed = past(2, replayed())
    one = only(trends([measured(0, 10), measured(1, 99, "unknown"), crashed]))
    assert (one.values, one.unknown, len(one.taken)) == ((10,), 2, 3)


def test_a_judgement_without_the_figure_is_neither_a_value_nor_unknown() -> None:
    one = only(trends([measured(0, 10), past(1, replayed(judged("violated")))]))
    assert (one.values, one.unknown, len(one.taken)) == ((10,), 0, 2)


def test_a_replay_without_an_end_counts_where_the_others_of_its_run_do() -> None:
    killed = past(1, replayed(judged(), replay="other"), replayed(kubernetes="", image=""))
    (one,) = [each for each in verdicts([measured(0, 10), killed]) if not each.key.replay]
    assert (one.times, one.conditions.kubernetes, one.conditions.image) == (
        {"held": 1, "unknown": 1},
        "1.34.4",
        "node:v1",
    )
    assert (one.unknown_part, one.passed, one.replays) == (0.5, 1, 2)


def test_nodes_are_called_otherwise_in_each_run_and_their_worst_counts() -> None:
    def of_nodes(n: int) -> PastRun:
        figures: dict[str, Any] = {f"{OUTAGE}_a{n}": 10 + n, f"{OUTAGE}_b{n}": 20 + n, f"least_mbit_per_s_a{n}": 5.0}
        return past(n, replayed(judged(**figures)))

    runs = [of_nodes(n) for n in range(2)]
    assert only(trends(runs)).values == (20, 21)
    assert only(trends(runs), "least_mbit_per_s").values == (5.0, 5.0)


def test_names_say_the_unit() -> None:
    assert common_name("longest_outage_ms_ordeal-worker2") == OUTAGE
    assert common_name("grown_bytes_per_200") == "grown_bytes_per_200"
    assert unit_of("pods") is None
    assert worst({"loss_percent_a": 1, "loss_percent_b": 3.5, "name": "x", "nan_s": "nan"}) == {"loss_percent": 3.5}
    assert [
        amount(v, unit_of(n)) for n, v in (("a_s", 1.234), ("a_ms", 1234.0), ("a_bytes", 2.0**20), ("pods", 6.0))
    ] == [
        "1.23 s",
        "1234 ms",
        "1.0 MiB",
        "6",
    ]
