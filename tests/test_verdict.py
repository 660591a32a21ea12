"""The verdict of a replay: hardened passes when all held, a control when it broke in the way it names."""

import pytest

from chaos.catalogue import Control, Incident
from chaos.invariants.base import Finding, Verdict
from chaos.verdict import verdict_of

INCIDENT = Incident(
    "fire", "t", "MUST", "c", "s", "src", "r", controls=(Control("petrol", "w", breaks="no-smoke", because="soot"),)
)
HELD = Finding("no-smoke", Verdict.HELD, "clear air")
UNKNOWN = Finding("no-heat", Verdict.UNKNOWN, "no samples")
SOOT = Finding("no-smoke", Verdict.VIOLATED, "black", reason="soot")
STEAM = Finding("no-smoke", Verdict.VIOLATED, "white", reason="steam")


@pytest.mark.parametrize(
    ("findings", "verdict", "passed", "why"),
    [
        ([HELD], Verdict.HELD, True, "1 invariants held"),
        ([HELD, SOOT], Verdict.VIOLATED, False, "no-smoke: black"),
        ([HELD, UNKNOWN], Verdict.UNKNOWN, False, "no-heat: no samples"),
        ([SOOT, UNKNOWN], Verdict.VIOLATED, False, "no-smoke: black"),
        ([], Verdict.UNKNOWN, False, "nothing was judged"),
    ],
)
def test_hardened(findings: list[Finding], verdict: Verdict, passed: bool, why: str) -> None:
    assert verdict_of(INCIDENT, None, findings, "") == (verdict, passed, why)


@pytest.mark.parametrize(
    ("findings", "verdict", "passed", "part"),
    [
        ([SOOT], Verdict.VIOLATED, True, "as it must be: no-smoke: black"),
        ([SOOT, UNKNOWN], Verdict.VIOLATED, True, "as it must be"),
        ([STEAM], Verdict.VIOLATED, False, "because of steam, expected soot"),
        ([HELD], Verdict.HELD, False, "must violate no-smoke, but it was held"),
        ([UNKNOWN], Verdict.UNKNOWN, False, "no-smoke was not judged"),
        ([], Verdict.UNKNOWN, False, "no-smoke was not judged"),
    ],
)
def test_control(findings: list[Finding], verdict: Verdict, passed: bool, part: str) -> None:
    got = verdict_of(INCIDENT, "petrol", findings, "")
    assert got[:2] == (verdict, passed)
    assert part in got[2]


@pytest.mark.parametrize("control", [None, "petrol"])
@pytest.mark.parametrize("findings", [[HELD], [SOOT], []])
def test_a_problem_makes_it_unknown_whatever_was_found(control: str | None, findings: list[Finding]) -> None:
    assert verdict_of(INCIDENT, control, findings, "the fault did not land") == (
        Verdict.UNKNOWN,
        False,
        "the fault did not land",
    )
