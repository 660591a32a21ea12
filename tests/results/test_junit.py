"""junit.xml in every situation: what the strict schemas allow, and what Jenkins and GitLab show and find of it."""

import os
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chaos.judge.base import Verdict
from chaos.judge.conformance import FAILED, PASSED, STATES
from chaos.record.evidence import Piece
from chaos.record.records import Phase
from chaos.results import junit
from chaos.results.results import Results
from chaos.results.saved import load
from chaos.results.specs import ALONE, SpecResult
from tests.ci_readers import GITLAB_TAKES_BYTES, JENKINS_KEEPS, gitlab, jenkins, strict
from tests.nasty import GOOD, NASTY
from tests.report.made import CONTROL, INCIDENT, broken, finding, history, outcome, results

CLASS = "suites.control_plane.test_x"
HARDENED, IN_CONTROL = (CLASS, "test_x[kind-hardened]"), (CLASS, f"test_x[kind-control:{CONTROL}]")


def every_situation(root: Path) -> Results:
    """A run in which all has happened that can."""
    made = results(root)
    kept = history(made, [Phase(0.0, "fault")])
    log = made.directory / "test_x" / "evidence" / "0-cut" / "kubelet.log"
    log.parent.mkdir(parents=True)
    log.write_text("said")
    pieces = (Piece("kubelet.log", log), Piece("pods.json", None, "the API server is dead"))
    huge = "p" * 2 * junit.TEXT
    for number, each in enumerate(
        (
            outcome(histories=[kept], evidence=pieces),
            outcome(broken(), histories=[kept], evidence=pieces, why="pods were deleted"),
            outcome(finding(Verdict.UNKNOWN), histories=[kept], evidence=pieces, why="the fault did not land"),
            outcome(broken(), control=CONTROL, histories=[kept]),
            outcome(finding(), control=CONTROL, passed=False, histories=[kept], why="the control was not violated"),
            outcome(finding(Verdict.UNKNOWN, sentence=GOOD), why=GOOD),
            outcome(finding(Verdict.UNKNOWN, name=NASTY, sentence=NASTY, at_s=float("inf")), why=NASTY),
            outcome(finding(Verdict.VIOLATED, sentence=f"{huge}\n" * 2), why=huge),
        )
    ):
        made.add(replace(each, test=f"{each.test}{number}" if number else each.test))
    made.add(replace(outcome(broken()), test=f"../../../etc/{NASTY}.py::{NASTY}"))
    made.add(replace(outcome(broken()), test="chaos run mass-termination"))
    for test in ("a.py::test_skipped", "a.py::test_running"):
        made.begin(test, INCIDENT, cluster="kind", profile="smoke")
    made.skip("a.py::test_skipped", f"needs a third hand; {NASTY}")
    made.add_specs(
        [
            SpecResult(f"a.py::test_spec[{s}]", ALONE, s, NASTY, "node", s, 2.0, message=f"{NASTY}\n{huge}")
            for s in STATES
        ]
    )
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of that run, which began in a folder around it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(started := tmp_path_factory.mktemp("project"))
        for name in ("JENKINS_URL", "JENKINS_HOME", "CI_PROJECT_DIR"):
            patch.delenv(name, raising=False)
        return started / every_situation(Path("results")).directory / "junit.xml"


def test_no_schema_would_refuse_it(whole: Path) -> None:
    root = ET.parse(whole).getroot()
    assert strict(root) == []
    assert [root.attrib[name] for name in ("tests", "failures", "errors", "skipped")] == ["19", "8", "6", "2"]


def test_what_a_schema_would_refuse_is_seen() -> None:
    case = "<testcase name='b'><system-out/><properties/></testcase>"
    old = f"<testsuites skipped='1'><testsuite name='a'>{case}</testsuite></testsuites>"
    wrong = strict(ET.fromstring(old))
    assert {"testsuites at the top", "testsuites skipped", "properties in testcase", "testcase time"} <= {*wrong}
    assert strict(ET.fromstring("<testsuite name='a' tests='1' errors='0' failures='0' skipped='0'/>")) == []


def test_each_reader_shows_each_case_as_what_it_is(whole: Path) -> None:
    project = whole.parents[2]
    for read in (jenkins(whole, project), gitlab(whole, project)):
        assert len(read) == 19
        assert read[HARDENED].status == "passed"
        assert read[CLASS, f"{HARDENED[1]}1"].status == "failed"
        assert read[CLASS, f"{HARDENED[1]}2"].status == "error"
        assert read[CLASS, f"{IN_CONTROL[1]}3"].status == "passed"
        assert read[CLASS, f"{IN_CONTROL[1]}4"].status == "failed"
        assert read["a", "test_running"].status == "error"
        assert read["a", "test_skipped"].said.startswith("needs a third hand; ")
        assert read["kube-ordeal", "chaos run mass-termination"].status == "failed"
        assert [each for each in read.values() if each.lost] == []


def test_attachments_are_found_from_where_the_run_was_started(whole: Path) -> None:
    project = whole.parents[2]
    kept, log = whole.parent / "test_x/history/0.jsonl", whole.parent / "test_x/evidence/0-cut/kubelet.log"
    in_jenkins, in_gitlab = jenkins(whole, project), gitlab(whole, project)
    for name in (HARDENED, (CLASS, f"{HARDENED[1]}1"), (CLASS, f"{HARDENED[1]}2")):
        assert in_jenkins[name].files == (kept, log)
        assert in_gitlab[name].files == (() if name == HARDENED else (kept,))


def a_failure(root: Path) -> tuple[Path, Path]:
    """The junit.xml of a run with one failure below `root`, and what it attaches."""
    made = results(root)
    kept = history(made, [Phase(0.0, "fault")])
    made.add(outcome(broken(), histories=[kept]))
    return made.directory / "junit.xml", kept


def test_jenkins_is_given_whole_paths_wherever_its_workspace_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JENKINS_URL", "https://jenkins.example/")
    report, kept = a_failure(tmp_path / "deep" / "results")
    assert f"[[ATTACHMENT|{os.path.realpath(kept)}]]" in report.read_text()
    assert jenkins(report, tmp_path / "elsewhere")[HARDENED].files == (Path(os.path.realpath(kept)),)


def test_gitlab_is_given_paths_from_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project" / "chaos").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "project")
    monkeypatch.delenv("JENKINS_URL", raising=False)
    monkeypatch.setenv("CI_PROJECT_DIR", str(tmp_path / "link"))
    monkeypatch.chdir(tmp_path / "project" / "chaos")  # pytest runs in a folder of the project
    report, kept = a_failure(Path("results"))
    assert gitlab(report, tmp_path / "project")[HARDENED].files == (tmp_path / "project" / "chaos" / kept,)


def test_a_folder_whose_name_would_end_the_tag_attaches_nothing(tmp_path: Path) -> None:
    for name in ("a]]b", "a[b", "a|b", "a\nb", "a\u202eb"):
        report, _ = a_failure(tmp_path / name)
        assert "[[ATTACHMENT" not in report.read_text()
        assert strict(ET.parse(report).getroot()) == []


@pytest.mark.parametrize("spare", [-50, 0, 1])
def test_no_half_of_an_attachment_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spare: int) -> None:
    monkeypatch.setenv("JENKINS_URL", "https://jenkins.example/")
    made = results(tmp_path)
    kept = history(made, [Phase(0.0, "fault")])
    tag = f"[[ATTACHMENT|{os.path.realpath(kept)}]]"
    monkeypatch.setattr(junit, "ALL_TEXTS", 0)  # as of very many failures
    monkeypatch.setattr(junit, "LEAST", len(tag) + spare)
    made.add(outcome(broken(), histories=[kept]))
    (said,) = ET.parse(made.directory / "junit.xml").iter("system-out")
    first, *_ = (said.text or "").splitlines()
    assert first == (tag if spare > 0 else "as it was found")


def test_jenkins_finds_the_attachments_of_a_test_that_passed_and_said_much(tmp_path: Path) -> None:
    made = results(tmp_path)
    kept = history(made, [Phase(0.0, "fault")])
    measured: Any = {f"figure_{n}": n for n in range(JENKINS_KEEPS[True])}
    made.add(outcome(finding(**measured), histories=[kept]))
    (read,) = jenkins(made.directory / "junit.xml", Path.cwd()).values()
    assert read.files == (Path(os.path.realpath(kept)),)
    assert read.lost == ()


def test_a_run_of_many_failures_is_small_enough_for_gitlab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = 100
    monkeypatch.setattr(junit, "ALL_TEXTS", junit.ALL_TEXTS // part)
    run = load(tmp_path, str(results(tmp_path).directory))
    long, names = "&" * 2 * junit.TEXT, [f"a.py::t[{n}]" for n in range(60)]
    specs = [SpecResult(name, ALONE, "x", long, "node", FAILED, 2.0, message=long) for name in names]
    text = junit.document(replace(run, specs=(*specs, *(replace(each, state=PASSED, spec="x") for each in specs * 10))))
    assert len(text.encode()) < GITLAB_TAKES_BYTES / part
    assert max(len(each.text or "") for each in ET.fromstring(text).iter()) > junit.ALL_TEXTS / len(specs)
