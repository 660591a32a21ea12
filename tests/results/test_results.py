"""results.json and junit.xml: valid at every moment, and read back only where they are whole and make sense."""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import OrdealError
from chaos.judge.base import Verdict
from chaos.judge.conformance import AFTER, FAILED, FLAKY, NO_IMAGE, PASSED, SKIPPED
from chaos.record.evidence import Piece
from chaos.record.records import Phase
from chaos.results.results import Results
from chaos.results.saved import LeftOut, PlannedReplay, SavedPlan, SavedRun, load
from chaos.results.schema import SCHEMA_PATH
from chaos.results.specs import ALONE, SpecResult
from tests.report.made import CONTROL, INCIDENT, RUN, broken, finding, history, outcome, proven, results


def junit(made: Results) -> ET.Element:
    return ET.fromstring((made.directory / "junit.xml").read_text())


def case(made: Results, part: str = "") -> ET.Element:
    (found,) = [each for each in junit(made).iter("testcase") if part in each.attrib["name"]]
    return found


def begun(made: Results) -> None:
    made.begin(outcome().test, INCIDENT, cluster="kind", profile="smoke")


def test_a_run_that_was_killed_before_its_first_verdict_is_valid_and_says_so(tmp_path: Path) -> None:
    made = results(tmp_path)
    assert load(tmp_path).outcomes == ()
    begun(made)
    run = load(tmp_path)
    (only,) = run.outcomes
    assert (only.verdict, only.passed, only.ended, run.ended) == ("unknown", False, False, "")
    assert "has no end: the run was killed, or still goes on" in only.why
    error = case(made).find("error")
    assert error is not None
    assert error.attrib["message"] == only.why
    made.end()
    assert "was ended from outside" in load(tmp_path).outcomes[0].why


def test_a_verdict_takes_the_place_of_what_had_begun(tmp_path: Path) -> None:
    made = results(tmp_path)
    begun(made)
    made.add(outcome())
    made.end()
    run = load(tmp_path)
    assert [(o.verdict, o.ended) for o in run.outcomes] == [("held", True)]
    assert run.ended >= run.started > "2026"
    assert run.incident(INCIDENT).story
    assert run.incident("own-experiment").claim == ""


def test_a_replay_that_can_not_be_done_is_not_silently_missing(tmp_path: Path) -> None:
    made = results(tmp_path)
    begun(made)
    made.skip(outcome().test, "it needs a third hand")
    assert load(tmp_path).skipped[0].why == "it needs a third hand"
    skipped = case(made).find("skipped")
    assert skipped is not None
    assert skipped.text == "it needs a third hand"
    assert junit(made).attrib["tests"] == "1"


def test_everything_that_was_found_is_read_back(tmp_path: Path) -> None:
    made = results(tmp_path)
    path = history(made, [Phase(0.0, "deploy")])
    log = path.parent / "kubelet.log"
    log.write_text("said")
    pieces = (Piece("kubelet.log", log), Piece("pods.json", None, "the API server is dead"))
    found = finding(judged=path, pods=6, worst_s=float("inf"))
    made.add(outcome(found, histories=[path], evidence=pieces))
    run = load(tmp_path)
    (read,) = run.outcomes
    assert read.findings[0].figures == {"pods": 6, "worst_s": "inf"}  # JSON has no infinity
    assert (read.findings[0].promise, read.findings[0].arguments) == ("nothing_terminated", {"workload": "web"})
    assert read.histories == (read.findings[0].history,) == ("test_x/history/0.jsonl",)
    assert [(p.name, p.size_bytes, p.missing) for p in read.evidence] == [
        ("kubelet.log", 4, ""),
        ("pods.json", None, "the API server is dead"),
    ]
    assert run.missing() == ()
    log.unlink()
    assert run.missing() == (f"test_x/history/kubelet.log is missing: it was there when {run.path} was written",)


def test_junit_has_the_figures_and_takes_any_text(tmp_path: Path) -> None:
    made = proven(tmp_path)
    ugly = "a\x1b[31m \x00 <b> & ]]> \ud800 \ufffe \U0001f600"
    made.add(outcome(finding(Verdict.UNKNOWN, name="ugly", sentence=ugly), why=ugly))
    assert {k: junit(made).attrib[k] for k in ("tests", "failures", "errors")} == {
        "tests": "3",
        "failures": "0",
        "errors": "1",
    }
    said = (case(made, CONTROL).findtext("system-out") or "").splitlines()
    told = {"verdict = violated", "nothing-terminated.verdict = violated", "nothing-terminated.pods = 6"}
    assert told <= {*said}
    (error,) = junit(made).iter("error")
    assert error.attrib["message"] == r"a\x1b[31m \x00 <b> & ]]> \ud800 \ufffe " + "\U0001f600"
    assert load(tmp_path).outcomes[2].why == ugly.replace("\ud800", r"\ud800")  # no reader takes half of a pair


def test_junit_calls_violated_a_failure(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome(broken(), why="pods were deleted"))
    failure = case(made).find("failure")
    assert failure is not None
    assert (failure.attrib["type"], failure.attrib["message"]) == ("violated", "pods were deleted")
    assert failure.text == "violated: nothing-terminated: 6 of 6 pods were deleted"


def edited(root: Path, change: Callable[[Any], object]) -> SavedRun:
    made = proven(root)
    content = json.loads(made.path.read_text())
    change(content)
    made.path.write_text(json.dumps(content))
    return load(root)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.update(schema=5), "have schema 5, this version reads 3 and 4: read them with the version"),
        (lambda c: c.pop("schema"), "they name no schema"),
        (lambda c: c.pop("run"), "damaged at the top: 'run' is a required property; were they edited?"),
        (lambda c: c.update(more=1), "damaged at the top"),
        (
            lambda c: c["incidents"][0].update(verdict="fine"),
            r"damaged at incidents\[0\].verdict: 'fine' is not one of",
        ),
        (lambda c: c["incidents"][0].update(passed="yes"), r"damaged at incidents\[0\].passed"),
        (lambda c: c["incidents"][0].update(passed=False), "it is held, and passed is False"),
        (lambda c: c["incidents"][0].update(control="x"), "its variant is hardened and its control 'x'"),
        (lambda c: c["incidents"][0].update(invariants=[]), "it held, but nothing was judged"),
        (
            lambda c: c["incidents"][0]["invariants"][0].update(verdict="violated"),
            r"contradict themselves at incidents\[0\] .*: it held, but nothing-terminated is violated; were they",
        ),
        (lambda c: c["incidents"][1]["invariants"][0].update(reason="x"), "was not violated because of taint-eviction"),
        (lambda c: c["incidents"][1].update(verdict="held"), "default-tolerations passed, but its verdict is held"),
        (
            lambda c: c["incidents"][0].update(verdict="violated", passed=False),
            "it is violated, but no invariant is; were they edited",
        ),
        (lambda c: c.update(catalogue=[]), "the catalogue in the file has no such control"),
    ],
)
def test_results_that_were_edited_are_refused(tmp_path: Path, change: Callable[[Any], object], says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        edited(tmp_path, change)


def test_what_was_edited_beside_the_results_is_named(tmp_path: Path) -> None:
    made = results(tmp_path)
    path = history(made, [Phase(1.0, "fault"), Phase(2.0, "hold")])
    log = made.directory / "kubelet.log"
    log.write_text("lines of a log\n")
    made.add(outcome(histories=(path,), evidence=(Piece(log.name, log),)))
    assert load(tmp_path).unreadable() == ()
    path.write_bytes(path.read_bytes()[:-9])
    log.write_text("lines of\n")
    assert load(tmp_path).unreadable() == (
        f"{path} ends in the middle of a line, and its replay had an end; was it cut off?",
        f"kubelet.log has 9 bytes, and had 15 when {made.path} was written",
    )


def test_a_history_that_was_killed_may_end_in_the_middle_of_a_line(tmp_path: Path) -> None:
    made = results(tmp_path)
    path = history(made, [Phase(1.0, "fault"), Phase(2.0, "hold")])
    begun(made)
    path.write_bytes(path.read_bytes()[:-9])
    assert len(load(tmp_path).history(str(path.relative_to(made.directory)))) == 1


def test_results_that_were_cut_off_are_refused(tmp_path: Path) -> None:
    path = proven(tmp_path).path
    path.write_text(path.read_text()[:500])
    with pytest.raises(OrdealError, match="no JSON, it may be cut off"):
        load(tmp_path)


def test_files_outside_of_the_run_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    run = edited(tmp_path, lambda c: c["incidents"][0].update(evidence=[{"name": "x", "path": "../secret"}]))
    with pytest.raises(OrdealError, match=re.escape("../secret is not a file below the run's folder")):
        run.file("../secret")


def test_what_changed_the_file_meanwhile_is_named(tmp_path: Path) -> None:
    made = proven(tmp_path)
    made.path.write_text("[]")
    with pytest.raises(OrdealError, match=f"{RUN}/results.json, it was changed meanwhile"):
        made.add(outcome())


def test_the_published_schema_is_the_one_in_use() -> None:
    published = Path(__file__).parents[2] / "docs" / "results.schema.json"
    assert published.read_text() == SCHEMA_PATH.read_text()


def test_junit_has_the_specs_that_were_run_for_themselves(tmp_path: Path) -> None:
    made = results(tmp_path)
    states = (PASSED, FAILED, FLAKY, NO_IMAGE, SKIPPED)
    made.add_specs([SpecResult(f"a.py::test_spec[{s}]", ALONE, s, s, "node", s, 2.0, message="why") for s in states])
    made.add_specs([SpecResult("b.py::test_x", AFTER, "a", "a", "node", FAILED, 2.0)])
    assert {name: junit(made).attrib[name] for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "5",
        "failures": "2",
        "errors": "1",
        "skipped": "1",
        "time": "10.000",
    }
    assert case(made, f"[{FAILED}]").find("failure").text == "why"  # type: ignore[union-attr]
    assert [each.tag for each in case(made, f"[{PASSED}]")] == ["system-out"]


def test_a_plan_and_what_was_left_out_are_read_back(tmp_path: Path) -> None:
    made = proven(tmp_path)
    left = LeftOut("t", "pleg-churn", "it would end 35 s after the budget")
    plan = SavedPlan(900.0, 700.5, (PlannedReplay(outcome().test, 1.0, 62.4),))
    made.leave_out([left], plan)
    made.leave_out([left, LeftOut("late", "", "seen late")])
    run = load(tmp_path)
    assert (run.plan, [each.test for each in run.left_out]) == (plan, ["t", "late"])
    assert run.left_out[0] == left


def test_a_run_of_version_3_can_be_read(tmp_path: Path) -> None:
    made = proven(tmp_path)
    content = json.loads(made.path.read_text())
    content["schema"] = 3
    del content["left_out"]
    for each in content["catalogue"]:
        del each["postmortem"]
    made.path.write_text(json.dumps(content))
    run = load(tmp_path)
    assert (run.plan, run.left_out, run.incident(INCIDENT).postmortem) == (None, (), "")
    content["schema"] = 2
    made.path.write_text(json.dumps(content))
    with pytest.raises(OrdealError, match="have schema 2, this version reads 3 and 4: read them with the version"):
        load(tmp_path)
