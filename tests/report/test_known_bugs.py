"""A control that shows a published bug: what a run answers, what its file may say, and what two versions come to."""

import json
from pathlib import Path
from typing import Any

import pytest

from chaos.errors import OrdealError
from chaos.judge.base import Verdict
from chaos.judge.catalogue import KnownBug
from chaos.report.answer import Safe, answer
from chaos.report.compare import Side, compare
from chaos.report.difference import Shift
from chaos.report.html import page
from chaos.results.results import Outcome
from chaos.results.saved import SavedRun, load
from tests.report.made import CONTROL, broken, finding, outcome, results

BUG = {"issue": "kubernetes/kubernetes#1", "since": "1.33.0", "mended_in": ["1.34.9"]}
SHOWN = outcome(broken(), control=CONTROL, why="known bug: 6 of 6 pods were deleted")
SOUND = outcome(finding(), control=CONTROL, passed=True, why="1 invariants held")


def run(root: Path, *outcomes: Outcome, version: str = "1.34.4", **of_bug: Any) -> SavedRun:
    """A run whose file says that its control is a published bug, on that version."""
    made = results(root)
    for each in outcomes:
        made.add(each)
    made.end()
    content = json.loads(made.path.read_text())
    for each in content["catalogue"]:
        for control in each["controls"]:
            control["shipped"] = {**BUG, **of_bug}
    for each in content["incidents"]:
        each["kubernetes"] = version
    made.path.write_text(json.dumps(content))
    return load(root)


@pytest.mark.parametrize(
    ("version", "since", "mended_in", "affected"),
    [
        ("1.34.4", "1.33.0", ("1.33.13", "1.34.9", "1.36.2"), True),
        ("1.34.9", "1.33.0", ("1.33.13", "1.34.9", "1.36.2"), False),
        ("1.34.10", "1.33.0", ("1.33.13", "1.34.9", "1.36.2"), False),
        ("1.32.9", "1.33.0", ("1.33.13",), False),
        ("1.35.7", "1.33.0", ("1.33.13", "1.34.9", "1.36.2"), True),  # its minor was never mended
        ("1.37.0", "1.33.0", ("1.33.13", "1.36.2"), False),
        ("1.36.3", "1.32.0", (), True),
        ("v1.34.4+k3s1", "1.33.0", ("1.34.9",), True),
        ("1.35.0", "1.34.8", ("1.35.0",), False),
    ],
)
def test_versions_that_have_a_bug(version: str, since: str, mended_in: tuple[str, ...], affected: bool) -> None:
    assert KnownBug("kubernetes/kubernetes#1", since, mended_in).affects(version) is affected


def test_what_is_no_version_is_refused() -> None:
    for each in ("latest", "", "1.34", "1.2." + "3" * 5000):
        with pytest.raises(OrdealError, match=r"is no Kubernetes version, such as 1\.34\.4"):
            KnownBug("kubernetes/kubernetes#1", "1.33.0").affects(each)


def test_a_known_bug_is_told_beside_the_answer_and_breaks_nothing(tmp_path: Path) -> None:
    shown = run(tmp_path, outcome(), SHOWN)
    said = answer(shown)
    assert (said.safe, said.broken, said.doubts) == (Safe.YES, (), ())
    (known,) = said.known
    assert known == (
        f"mass-termination, control {CONTROL}, on kind: Kubernetes 1.34.4 as it is shipped: "
        "known bug: 6 of 6 pods were deleted. With the workaround it held."
    )
    html = page(shown, tmp_path)
    assert "Known bugs of this version" in html
    assert "proven by a known bug of this version" in html


def test_a_version_without_the_bug_holds_and_proves_nothing(tmp_path: Path) -> None:
    sound = run(tmp_path, outcome(), SOUND, version="1.34.9")
    said = answer(sound)
    assert (said.safe, said.known) == (Safe.UNKNOWN, ())
    assert said.doubts == ("No control was violated, so nothing proves that the checks can fail: mass-termination.",)
    assert "held: this version has no such bug" in page(sound, tmp_path)


def test_a_version_that_does_what_another_is_known_for_is_not_safe(tmp_path: Path) -> None:
    again = outcome(broken(), control=CONTROL, passed=False, why="nothing-terminated: 6 of 6 pods were deleted")
    said = answer(run(tmp_path, outcome(), again, version="1.34.9"))
    assert (said.safe, said.sentence) == (Safe.NO, "1 of 1 incident broke: mass-termination")
    assert "6 of 6 pods were deleted" in said.broken[0]


def test_a_known_bug_that_does_not_show_is_a_doubt(tmp_path: Path) -> None:
    held = outcome(finding(), control=CONTROL, passed=False, why="the control must violate it")
    said = answer(run(tmp_path, outcome(), held))
    assert (said.safe, len(said.doubts)) == (Safe.UNKNOWN, 1)


@pytest.mark.parametrize(
    ("replay", "version", "said"),
    [
        (SOUND, "1.34.4", "its verdict is held"),
        (SHOWN, "1.34.9", r"1\.34\.9 has no such bug"),
        (SOUND, "", "its verdict is held"),
    ],
)
def test_a_file_that_says_otherwise_contradicts_itself(
    tmp_path: Path, replay: Outcome, version: str, said: str
) -> None:
    with pytest.raises(OrdealError, match=f"contradict themselves.*{said}"):
        run(tmp_path, outcome(), replay, version=version)


@pytest.mark.parametrize(
    ("base", "candidate", "shift"),
    [
        ((SHOWN, "1.34.4"), (SOUND, "1.34.9"), Shift.BETTER),
        ((SOUND, "1.34.9"), (SHOWN, "1.34.4"), Shift.REGRESSED),
        ((SHOWN, "1.34.4"), (SHOWN, "1.34.5"), Shift.SAME),
    ],
)
def test_a_bug_that_one_of_two_versions_has_is_a_change(
    tmp_path: Path, base: tuple[Outcome, str], candidate: tuple[Outcome, str], shift: Shift
) -> None:
    def side(name: str, replay: Outcome, version: str) -> Side:
        return Side((run(tmp_path / name, outcome(), replay, version=version),))

    assert compare(side("base", *base), side("candidate", *candidate)).answer is shift


def test_verdicts_are_those_that_a_control_has(tmp_path: Path) -> None:
    (control,) = (c for c in run(tmp_path, SHOWN).incident("mass-termination").controls if c.id == CONTROL)
    assert (control.must_break("1.34.4"), control.must_break("1.34.9")) == (True, False)
    assert SHOWN.verdict is Verdict.VIOLATED
