"""Conformance specs in the results and the page: the grid, upstream's message first, what was not tried apart."""

import json
import re
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.judge.conformance import AFTER, BEFORE, FAILED, FLAKY, NO_IMAGE, PASSED
from chaos.report.grid import grid
from chaos.report.html import page
from chaos.results.results import Results
from chaos.results.saved import load
from chaos.results.specs import ALONE, SpecResult, tally
from tests.report.made import TEST, outcome, results
from tests.report.test_html import EVIL, Seen

REPLAY = TEST.format("kind-hardened")
DNS, PODS = "[sig-network] DNS should answer [Conformance]", "[sig-node] Pods should run [Conformance]"


def spec(state: str = PASSED, text: str = PODS, when: str = AFTER, message: str = "", **more: object) -> SpecResult:
    area = text.partition("]")[0].removeprefix("[sig-")
    return SpecResult(REPLAY, when, text.lower()[:20], text, area, state, 3.25, "1.34.4", message, **more)  # type: ignore[arg-type]


def with_specs(root: Path, *specs: SpecResult) -> Results:
    made = results(root)
    made.add(outcome())
    made.add_specs(specs)
    made.end()
    return made


def test_they_come_back_from_disk(tmp_path: Path) -> None:
    found = (spec(), spec(FLAKY, DNS, BEFORE, "timed out", tries=2), spec(when=ALONE))
    assert load(tmp_path, str(with_specs(tmp_path, *found).path)).specs == found


def test_a_state_that_there_is_not_is_refused(tmp_path: Path) -> None:
    made = with_specs(tmp_path, spec())
    content = json.loads(made.path.read_text())
    content["specs"][0]["state"] = "fine"
    made.path.write_text(json.dumps(content))
    with pytest.raises(OrdealError, match=r"damaged at specs\[0\]\.state: 'fine' is not one of"):
        load(tmp_path)


def test_what_they_left_is_named_and_missed(tmp_path: Path) -> None:
    run = load(tmp_path, str(with_specs(tmp_path, spec(output="x/out.log", pods=("x/pod.log",))).path))
    assert run.named[-2:] == ("x/out.log", "x/pod.log")
    assert len(run.missing()) == 2


def test_the_grid_has_a_row_a_round_and_a_column_an_area(tmp_path: Path) -> None:
    made = with_specs(
        tmp_path, spec(when=BEFORE), spec(text=DNS, when=BEFORE), spec(), spec(FAILED, DNS), spec(when=ALONE)
    )
    found = grid(load(tmp_path, str(made.path)))
    assert found.areas == ("network", "node")
    (before, after), (alone,) = found.rows
    assert [row.when for row in (before, after, alone)] == ["before", "after", "for itself"]
    assert [(row.passed, row.ran) for row in (before, after, alone)] == [(2, 2), (1, 2), (1, 1)]
    network, node = after.cells
    assert [(square.spec.state, bool(square.anchor)) for square in (*network, *node)] == [
        (FAILED, True),
        (PASSED, False),
    ]
    assert found.said == "4 passed, 1 failed"


def test_the_page_shows_upstreams_message_first_and_the_pods_logs_behind_it(tmp_path: Path) -> None:
    made = with_specs(
        tmp_path,
        spec(FAILED, DNS, message="service is not reachable", output="x/out.log", pods=("x/exec.log",)),
        spec(NO_IMAGE, message="ErrImagePull of agnhost"),
        spec(FLAKY, tries=2),
    )
    for name, said in (("out.log", "STEP: looking"), ("exec.log", "nc: bad address")):
        (made.directory / "x").mkdir(exist_ok=True)
        (made.directory / "x" / name).write_text(said)
    seen = Seen(page(load(tmp_path, str(made.path)), made.directory))
    text = seen.text.split("for itself")[-1]
    order = ["service is not reachable", "nc: bad address", "STEP: looking"]
    assert sorted(order, key=text.index) == order
    assert "Not tried: an image could not be had" in text
    assert "which is not passed" in text
    targets = [href[1:] for href in seen.attributes("a", "href") if href.startswith("#spec-")]
    assert len(targets) == 3
    assert set(targets) <= set(seen.attributes("details", "id"))


def test_every_square_says_in_words_what_it_is(tmp_path: Path) -> None:
    seen = Seen(page(load(tmp_path, str(with_specs(tmp_path, spec(), spec(FAILED, DNS)).path)), tmp_path))
    labels = [
        a.get("aria-label") for _, a in seen.tags if str(a.get("class")).startswith("spec ") and a.get("aria-label")
    ]
    assert labels == [f"{DNS}: failed", f"{PODS}: passed"]


def test_what_a_spec_says_is_text(tmp_path: Path) -> None:
    made = with_specs(tmp_path, spec(FAILED, f"[sig-x] {EVIL}", message=EVIL))
    seen = Seen(page(load(tmp_path, str(made.path)), made.directory))
    assert seen.attributes("img", "src") == []
    assert not any(name.startswith("on") for _, attrs in seen.tags for name in attrs)
    assert seen.open == []


def test_a_run_without_specs_has_no_grid(tmp_path: Path) -> None:
    seen = Seen(page(load(tmp_path, str(with_specs(tmp_path).path)), tmp_path))
    assert "conformance" not in seen.attributes("section", "id")


def test_the_tally_leaves_out_what_there_is_not() -> None:
    assert tally([spec(), spec(), spec(NO_IMAGE)]) == "2 passed, 1 not tried"


def test_many_squares_of_an_area_stand_side_by_side(tmp_path: Path) -> None:
    made = with_specs(tmp_path, *[spec(text=f"{PODS} {n}") for n in range(100)], spec(text=DNS))
    text = page(load(tmp_path, str(made.path)), tmp_path)
    assert re.findall(r'<td style="--across: (\d+)">', text) == ["1", "8"]
