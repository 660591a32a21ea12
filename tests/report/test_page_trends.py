"""The trend beside a figure of the page: from five runs on, of machines of equal size, and nothing acts in it."""

from pathlib import Path
from typing import Any

import pytest

from chaos.report.html import page
from chaos.report.page_trends import MOST_POINTS, page_trends
from chaos.report.sparkline import Point, sparkline
from chaos.results.past import PastRun
from chaos.results.saved import SavedRun, load
from tests.report.made import RUN, finding, outcome, results
from tests.report.test_html import EVIL, Seen
from tests.results.past_made import judged, past, replayed

CPUS = "2"


def saved(root: Path, **figures: Any) -> SavedRun:
    made = results(root)
    made.add(outcome(finding(**figures)))
    made.end()
    run = load(root, RUN)
    return SavedRun(run.id, run.path, {"cpus": CPUS}, run.outcomes, options={}, started="2026-01-02T00:00:00.000Z")


def earlier(count: int, cpus: str = CPUS, **fields: Any) -> list[PastRun]:
    made = judged(invariant="nothing-terminated", promise="nothing_terminated", outage_total_ms=100.0, pods=6)
    return [past(n, replayed(made, **fields), cpus=cpus) for n in range(count)]


@pytest.mark.parametrize(("count", "drawn"), [(0, 0), (3, 0), (4, 1), (9, 1)])
def test_a_trend_stands_beside_a_figure_from_five_runs_on_the_pages_own_counted(
    tmp_path: Path, count: int, drawn: int
) -> None:
    run = saved(tmp_path, outage_total_ms=120.0)
    seen = Seen(page(run, run.folder, earlier(count)))
    assert len(seen.attributes("svg", "viewbox")) == drawn
    assert seen.attributes("svg", "role") == ["img"] * drawn
    assert (f"of {count} runs on as many processors" in seen.text) is bool(count)


def test_without_a_history_there_is_no_trend(tmp_path: Path) -> None:
    run = saved(tmp_path, outage_total_ms=120.0)
    seen = Seen(page(run, run.folder))
    assert not seen.attributes("svg", "role")
    assert "Trends" not in seen.text


def test_the_page_of_a_run_that_is_in_the_history_marks_it_and_counts_it_once(tmp_path: Path) -> None:
    run = saved(tmp_path, outage_total_ms=100.0)
    mine = earlier(5)
    mine[2] = past(2, *mine[2].replays, id=RUN)
    (drawn,) = page_trends(run, mine).beside(run.outcomes[0], run.outcomes[0].findings[0]).values()
    assert "in 5 replays" in drawn
    assert drawn.count("<circle") == 1
    assert page_trends(run, mine[:4]).beside(run.outcomes[0], run.outcomes[0].findings[0]) == {}


@pytest.mark.parametrize("fields", [{"cpus": "8"}, {"profile": "full"}, {"control": "x"}, {"cluster": "simulated"}])
def test_other_machines_profiles_and_replays_are_no_part_of_it(tmp_path: Path, fields: dict[str, str]) -> None:
    run = saved(tmp_path, outage_total_ms=120.0)
    cpus = fields.pop("cpus", CPUS)
    assert page_trends(run, earlier(9, cpus, **fields)).beside(run.outcomes[0], run.outcomes[0].findings[0]) == {}


def test_versions_are_one_trend_with_a_line_where_they_change(tmp_path: Path) -> None:
    run = saved(tmp_path, outage_total_ms=120.0)
    older = earlier(5, kubernetes="1.33.0")
    (drawn,) = page_trends(run, older).beside(run.outcomes[0], run.outcomes[0].findings[0]).values()
    assert drawn.count('class="turn"') == 1
    assert "Kubernetes 1.33.0, 1.34.4: median 100 ms, P95 120 ms, P99 120 ms, least 100 ms, most 120 ms" in drawn
    assert "on 2 cpus" in drawn
    assert "P99 of fewer than 100 is the most" in drawn


def test_of_figures_of_several_nodes_there_is_one_trend_of_the_worst(tmp_path: Path) -> None:
    run = saved(tmp_path, outage_total_ms_a1=120.0, outage_total_ms_b1=90.0)
    beside = page_trends(run, earlier(9)).beside(run.outcomes[0], run.outcomes[0].findings[0])
    assert list(beside) == ["outage_total_ms_a1"]


def test_a_page_shows_the_newest_runs_where_there_are_many(tmp_path: Path) -> None:
    run = saved(tmp_path, outage_total_ms=120.0)
    (drawn,) = page_trends(run, earlier(200)).beside(run.outcomes[0], run.outcomes[0].findings[0]).values()
    assert f"in {MOST_POINTS} replays" in drawn


def test_what_others_wrote_can_do_nothing_in_it(tmp_path: Path) -> None:
    run = saved(tmp_path, outage_total_ms=120.0)
    seen = Seen(page(run, run.folder, earlier(9, kubernetes=EVIL)))
    assert "img" not in {tag for tag, _ in seen.tags}
    assert EVIL in seen.text
    svg = sparkline([Point(1.0, EVIL), Point(2.0, "b")], f"{EVIL}\x1b")
    assert "<script" not in svg
    assert "\x1b" not in svg


@pytest.mark.parametrize("values", [[0.0] * 5, [-1.0, 1.0], [3.0], [1e308, -1e308]])
def test_any_values_can_be_drawn(values: list[float]) -> None:
    assert sparkline([Point(value, "") for value in values], "").startswith("<svg")
