"""The verdict of a replay: hardened passes when all held, a control when it broke in the way it names."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.exceptions import MaxRetryError

from chaos.judge.base import Finding, Verdict
from chaos.judge.catalogue import Control, Incident
from chaos.run.verdict import outcome_of, verdict_of

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


ALSO = replace(
    INCIDENT, controls=(Control("petrol", "w", breaks="no-smoke", because="soot", also_breaks=("no-heat", "no-ash")),)
)


def test_a_control_that_breaks_less_than_it_is_said_to_passes_and_says_so() -> None:
    hot = Finding("no-heat", Verdict.VIOLATED, "hot")
    held = replace(hot, verdict=Verdict.HELD)
    assert verdict_of(ALSO, "petrol", [SOOT, held, hot], "")[1:] == (True, "as it must be: no-smoke: black")
    said = "as it must be: no-smoke: black; it is said to break no-heat too, which was held"
    assert verdict_of(ALSO, "petrol", [SOOT, held], "")[1:] == (True, said)


@pytest.mark.parametrize("control", [None, "petrol"])
@pytest.mark.parametrize("findings", [[HELD], [SOOT], []])
def test_a_problem_makes_it_unknown_whatever_was_found(control: str | None, findings: list[Finding]) -> None:
    assert verdict_of(INCIDENT, control, findings, "the fault did not land") == (
        Verdict.UNKNOWN,
        False,
        "the fault did not land",
    )


class Away:
    """A cluster whose API server does not answer."""

    def facts(self) -> dict[str, str]:
        raise MaxRetryError(None, "/api/v1/nodes/a", ConnectionResetError("reset by peer"))  # type: ignore[arg-type]


def test_a_cluster_that_does_not_answer_at_the_end_costs_its_facts_alone() -> None:
    lab: Any = SimpleNamespace(
        incident=INCIDENT, control=None, findings=[SOOT], not_run_controls={}, cluster_kind="kind",
        profile=SimpleNamespace(name="smoke"), duration_s=1.0, replay="r", facts={},
        stage=SimpleNamespace(used=Away(), image_facts={"image redis": "redis@sha256:ab"}), tables={}, histories=[],
        evidence=[],
    )  # fmt: skip
    outcome = outcome_of(lab, "test_x", "")
    assert (outcome.verdict, outcome.kubernetes) == (Verdict.VIOLATED, "")
    assert "reset by peer" in str(outcome.cluster_facts["not to be had"])
    assert outcome.cluster_facts["image redis"] == "redis@sha256:ab"  # what was run stays known
