"""The page: all that was found stands in it, and what a cluster says can't do anything in it."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.judge.base import Verdict
from chaos.record.evidence import Piece
from chaos.record.records import ClusterEvent, FaultStep, NodeChange, Phase, PodChange
from chaos.record.registry import Record
from chaos.report.html import page, write_page
from chaos.results.results import Results
from chaos.results.saved import LeftOut, PlannedReplay, SavedPlan, load
from tests.report.made import CONTROL, INCIDENT, broken, finding, history, outcome, proven, results

EVIL = """</script><script>alert(1)</script><img src=x onerror=alert(2)>'"&{{ 7*7 }}<!--"""


class Seen(HTMLParser):
    """The elements, attributes and text of a page, as a browser without scripts has them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.data: list[str] = []
        self.buttons: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "br", "link", "img"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.data.append(data)
        elif self.open and self.open[-1] == "button":
            self.buttons.append(data)
        elif "style" not in self.open:
            self.text += data

    def attributes(self, tag: str, name: str) -> list[str]:
        return [str(attrs[name]) for found, attrs in self.tags if found == tag and name in attrs]

    def figures(self) -> list[str]:
        return [data for data in self.data if data.startswith('{"data"')]


def shown(made: Results) -> Seen:
    return Seen(page(load(made.directory.parent), made.directory))


STORY: list[Record] = [
    Phase(0.0, "fault", "cut"),
    FaultStep(1.0, "cut", "landed"),
    NodeChange(0.0, "worker", "listed", "True"),
    FaultStep(9.0, "cut", "undone"),
]


def test_it_begins_with_the_answer_and_has_all_of_the_incident(tmp_path: Path) -> None:
    seen = shown(proven(tmp_path))
    text = " ".join(seen.text.split())
    assert "✓ Safe" in text
    incident = load(tmp_path).incident(INCIDENT)
    for part in (incident.story, incident.claim, incident.remedy, incident.versions, incident.recognise[0].command):
        assert " ".join(part.split()) in text
    assert "default-tolerations: ✓ proven: violated as it must be" in text
    assert "pods: 6" in text
    assert "workload = web" in text
    assert seen.attributes("meta", "content")[0] == "width=device-width, initial-scale=1"


def test_it_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    seen = shown(proven(tmp_path))
    assert seen.attributes("script", "src") == seen.attributes("link", "href") == seen.attributes("img", "src") == []
    assert [href for href in seen.attributes("a", "href") if not href.startswith(("#", "./"))] == []


def test_every_heading_and_part_can_be_reached_by_keyboard(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome(histories=[history(made, STORY)]))
    seen = shown(made)
    assert seen.attributes("a", "href")[0] == "#incidents"
    assert {attrs.get("tabindex") for tag, attrs in seen.tags if attrs.get("class") == "scroll"} == {"0"}
    assert {"All", "Fault", "Zoom in", "Zoom out", "Earlier", "Later"} <= set(seen.buttons)


def test_what_broke_and_what_nobody_knows_stand_at_the_top(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome(broken(), why="nothing-terminated: 6 of 6 pods were deleted"))
    made.add(outcome(finding(), control=CONTROL, why="the control must violate it, but it was held"))
    top = shown(made).text.split("Incidents and invariants")[0]
    assert "Not safe" in top
    assert "6 of 6 pods were deleted" in top
    assert "the check is not proven: the control must violate it, but it was held" in top
    assert "The run has not ended" in top


def test_html_and_scripts_from_the_cluster_are_text(tmp_path: Path) -> None:
    made = results(tmp_path)
    records = [
        *STORY,
        NodeChange(2.0, EVIL, "added", "False", (f"{EVIL}:NoExecute",)),
        PodChange(2.0, EVIL, EVIL, EVIL, "added", phase=EVIL, node=EVIL, reason=EVIL),
        ClusterEvent(3.0, EVIL, EVIL, EVIL, "Warning"),
        Phase(4.0, EVIL, EVIL),
    ]
    path = history(made, records)
    log = made.directory / "test_x" / "evidence" / "a&b <i>.log"
    log.parent.mkdir(parents=True)
    log.write_text(EVIL)
    pieces = (Piece(log.name, log), Piece(EVIL, None, EVIL))
    found = finding(Verdict.UNKNOWN, sentence=EVIL, judged=path, pods=EVIL)
    made.add(outcome(found, why=EVIL, histories=[path], evidence=pieces))
    html = page(load(tmp_path), made.directory)
    seen = Seen(html)
    assert "alert" not in re.sub(r"\s", "", "".join(tag for tag, _ in seen.tags))
    assert seen.attributes("img", "src") == []
    assert not any(name.startswith("on") for _, attrs in seen.tags for name in attrs)
    assert seen.text.count(EVIL) >= 5  # the sentence, why at the top and below, the evidence, why there is none
    (figure,) = seen.figures()
    assert not set("<>&") & set(figure)
    texts = json.dumps(json.loads(figure))
    assert "&lt;script&gt;" in texts  # plotly.js reads texts as HTML
    assert "<script" not in texts
    assert "<img" not in texts
    assert seen.attributes("a", "href")[-2] == "./test_x/evidence/a%26b%20%3Ci%3E.log"


def test_a_history_whose_clock_goes_back_leaves_the_rest_whole(tmp_path: Path) -> None:
    made = proven(tmp_path)
    good, bad = history(made, STORY, "good"), history(made, [*STORY, FaultStep(0.5, "cut", "undone")], "bad")
    gone = history(made, STORY, "gone")
    gone.unlink()
    made.add(outcome(histories=[good, bad, gone]))
    seen = shown(made)
    text = " ".join(seen.text.split())
    assert "bad.jsonl line 5 is not a history record (the clock went back from 9.000 s to 0.500 s)" in text
    assert "gone.jsonl is missing" in text
    assert "? Unknown" in text
    assert len(seen.figures()) == 1
    assert seen.open == []


def test_a_run_that_was_killed_has_a_page(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.begin(outcome().test, INCIDENT, cluster="kind", profile="smoke")
    text = shown(made).text
    assert "has no end: the run was killed, or still goes on" in text
    assert "Unknown" in text


def test_links_follow_the_page_to_another_folder(tmp_path: Path) -> None:
    made = results(tmp_path / "results")
    made.add(outcome(histories=[history(made, STORY)]))
    to = tmp_path / "elsewhere.html"
    write_page(load(tmp_path / "results"), to)
    hrefs = Seen(to.read_text()).attributes("a", "href")
    assert f"./results/{made.directory.name}/test_x/history/0.jsonl" in hrefs
    assert to.stat().st_size < 6_000_000


def test_a_page_that_can_not_be_written_is_one_sentence(tmp_path: Path) -> None:
    run = load(tmp_path, str(proven(tmp_path).directory))
    with pytest.raises(OrdealError, match=r"the page can't be written to .*/none/report.html: No such file"):
        write_page(run, tmp_path / "none" / "report.html")


def test_mutants_are_shown_by_what_they_are_not_by_their_test(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(replace(outcome(), tables={"mutants": [{"mutant": "one-zone-forgotten", "killed by": "nothing"}]}))
    shown_text = shown(made).text
    table = shown_text.partition("Historical bugs that were put back")[2].partition(INCIDENT)[0]
    assert "one-zone-forgotten" in table
    assert outcome().test not in table


def test_what_was_left_out_and_the_budget_stand_at_the_top(tmp_path: Path) -> None:
    made = proven(tmp_path)
    left = LeftOut("t", "pleg-churn", "it would end 35 s after the <budget>")
    made.leave_out([left], SavedPlan(900.0, 700.0, (PlannedReplay("a", 1.0, 62.4),)))
    top = " ".join(shown(made).text.split("Incidents and invariants")[0].split())
    assert "✓ Safe, of what was replayed" in top
    assert "Of what was replayed: every promise of 1 incident held" in top
    assert "pleg-churn: 1 test, and so all of it (it would end 35 s after the <budget>)" in top
    assert "15 min 0 s, of which 11 min 40 s were planned, for 1 of what was collected" in top


def test_beside_each_promise_stands_what_proves_it(tmp_path: Path) -> None:
    made = results(tmp_path)
    too, others = "outage-at-most-2s", "nodes-ready-again"
    made.add(outcome(finding(), finding(name=too), finding(name=others), finding(name="no-such")))
    made.add(outcome(broken(), finding(Verdict.VIOLATED, name=too), control=CONTROL))
    text = " ".join(shown(made).text.split())
    assert f"{CONTROL}: ✓ proven: violated as it must be" in text
    assert f"control {CONTROL}: ✓ proven: violated there too" in text
    assert "declared, not seen here: saboteur kubelet-stopped" in text
    assert "no-such ✓ held kind ? nothing" in text
    assert "2 of 4 promises were seen to break in a control or under a mutant" in text
