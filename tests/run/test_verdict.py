"""The verdict of a replay: hardened passes when all held, a control when it broke in the way it names."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from urllib3.exceptions import MaxRetryError

from chaos.judge.base import Finding, Recipe, Verdict
from chaos.judge.catalogue import Control, Incident, KnownBug
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
    assert verdict_of(INCIDENT, None, findings, "", "1.34.4") == (verdict, passed, why)


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
    got = verdict_of(INCIDENT, "petrol", findings, "", "1.34.4")
    assert got[:2] == (verdict, passed)
    assert part in got[2]


BUG = KnownBug("kubernetes/kubernetes#1", "1.33.0", ("1.34.5", "1.35.1"))
AS_SHIPPED = replace(INCIDENT, controls=(Control("as-shipped", "w", breaks="no-smoke", because="soot", shipped=BUG),))


@pytest.mark.parametrize(
    ("version", "findings", "verdict", "passed", "part"),
    [
        (
            "1.34.4",
            [SOOT],
            Verdict.VIOLATED,
            True,
            "known bug kubernetes/kubernetes#1, mended in 1.34.5, 1.35.1: as it",
        ),
        ("1.34.4", [STEAM], Verdict.VIOLATED, False, "because of steam, expected soot"),
        ("1.34.4", [HELD], Verdict.HELD, False, "must violate no-smoke, but it was held"),
        ("1.34.5", [HELD], Verdict.HELD, True, "1.34.5 does not have kubernetes/kubernetes#1: 1 invariants held"),
        ("1.34.5", [SOOT], Verdict.VIOLATED, False, "1.34.5 does not have kubernetes/kubernetes#1: no-smoke: black"),
        ("1.34.5", [HELD, UNKNOWN], Verdict.UNKNOWN, False, "no-heat: no samples"),
        ("", [SOOT], Verdict.UNKNOWN, False, "'' is no Kubernetes version"),
    ],
)
def test_a_published_bug_breaks_where_it_is_and_holds_where_it_is_not(
    version: str, findings: list[Finding], verdict: Verdict, passed: bool, part: str
) -> None:
    got = verdict_of(AS_SHIPPED, "as-shipped", findings, "", version)
    assert got[:2] == (verdict, passed)
    assert part in got[2]


def test_a_published_bug_is_not_shown_by_a_fault_that_did_not_land() -> None:
    said = (Verdict.UNKNOWN, False, "the fault did not land")
    assert verdict_of(AS_SHIPPED, "as-shipped", [SOOT], "the fault did not land", "1.34.4") == said


ALSO = replace(
    INCIDENT, controls=(Control("petrol", "w", breaks="no-smoke", because="soot", also_breaks=("no-heat", "no-ash")),)
)


def test_a_control_that_breaks_less_than_it_is_said_to_passes_and_says_so() -> None:
    hot = Finding("no-heat", Verdict.VIOLATED, "hot")
    held = replace(hot, verdict=Verdict.HELD)
    assert verdict_of(ALSO, "petrol", [SOOT, held, hot], "", "1.34.4")[1:] == (True, "as it must be: no-smoke: black")
    said = "as it must be: no-smoke: black; it is said to break no-heat too, which was held"
    assert verdict_of(ALSO, "petrol", [SOOT, held], "", "1.34.4")[1:] == (True, said)


@pytest.mark.parametrize("control", [None, "petrol"])
@pytest.mark.parametrize("findings", [[HELD], [SOOT], []])
def test_a_problem_makes_it_unknown_whatever_was_found(control: str | None, findings: list[Finding]) -> None:
    assert verdict_of(INCIDENT, control, findings, "the fault did not land", "1.34.4") == (
        Verdict.UNKNOWN,
        False,
        "the fault did not land",
    )


class Away:
    """A cluster whose API server does not answer; its version is known from before."""

    kubernetes = "1.34.4"

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
    assert (outcome.verdict, outcome.kubernetes) == (Verdict.VIOLATED, "1.34.4")
    assert "reset by peer" in str(outcome.cluster_facts["not to be had"])
    assert outcome.cluster_facts["image redis"] == "redis@sha256:ab"  # what was run stays known


UNSERVED = Finding(
    "serves-before-harm", Verdict.VIOLATED, "no answer", recipe=Recipe("serves_before_harm", {"target": "web"})
)
OTHER = Finding("no-ash", Verdict.VIOLATED, "grey")


def test_all_that_is_as_bad_is_said_and_nothing_better() -> None:
    assert verdict_of(INCIDENT, None, [HELD, SOOT, OTHER, UNKNOWN], "", "1.34.4")[2] == "no-smoke: black; no-ash: grey"
    assert verdict_of(INCIDENT, None, [HELD, HELD], "", "1.34.4")[2] == "2 invariants held"


@pytest.mark.parametrize("problem", ["", "the steady state did not come"])
def test_a_cluster_that_does_not_serve_before_any_harm_is_judged_by_that(problem: str) -> None:
    why = "serves-before-harm: no answer"
    assert verdict_of(INCIDENT, None, [HELD, UNSERVED], problem, "1.34.4") == (Verdict.VIOLATED, False, why)
    control = verdict_of(INCIDENT, "petrol", [SOOT, UNSERVED], problem, "1.34.4")
    assert control == (Verdict.UNKNOWN, False, "the control's invariant no-smoke was not judged: no answer")
    served = replace(UNSERVED, recipe=Recipe("another", {}))
    assert verdict_of(INCIDENT, None, [HELD, served], "", "1.34.4")[2] == why


def test_a_control_says_what_it_found() -> None:
    assert verdict_of(INCIDENT, "petrol", [OTHER, STEAM], "", "1.34.4")[2] == (
        "no-smoke was violated because of steam, expected soot: white"
    )
    assert verdict_of(INCIDENT, "petrol", [HELD], "", "1.34.4")[2] == (
        "the control must violate no-smoke, but it was held: clear air"
    )
    assert verdict_of(INCIDENT, "petrol", [OTHER], "", "1.34.4")[2] == "the control's invariant no-smoke was not judged"


def lab_of(**fields: Any) -> Any:
    values: dict[str, Any] = {
        "incident": INCIDENT, "control": None, "findings": [SOOT], "broken": [], "not_run_controls": {},
        "cluster_kind": "kind", "profile": SimpleNamespace(name="smoke"), "duration_s": 1.0, "replay": "r",
        "facts": {"a": "b"}, "stage": SimpleNamespace(used=None, image_facts={}), "tables": {}, "histories": [],
        "evidence": [],
    }  # fmt: skip
    return SimpleNamespace(**{**values, **fields})


def test_what_was_recorded_and_violates_is_said_beside_a_problem() -> None:
    outcome = outcome_of(lab_of(broken=[OTHER, HELD]), "test_x", "it did not land")
    assert outcome.why == (
        "it did not land; what was recorded violates no-smoke: black; what was recorded violates no-ash: grey"
    )
    assert (outcome.verdict, outcome.passed, outcome.variant, outcome.control) == (
        Verdict.UNKNOWN,
        False,
        "hardened",
        "",
    )
    unserved = outcome_of(lab_of(findings=[UNSERVED], broken=[OTHER]), "test_x", "the steady state did not come")
    assert unserved.why == "serves-before-harm: no answer"


def test_controls_that_were_not_run_are_said() -> None:
    outcome = outcome_of(lab_of(control="petrol", not_run_controls={"spark": "no match"}), "test_x", "")
    assert outcome.why == "as it must be: no-smoke: black; control not run: spark (no match)"
    assert (outcome.passed, outcome.variant, outcome.control) == (True, "control", "petrol")


def test_the_clusters_facts_and_version_are_kept() -> None:
    used = SimpleNamespace(facts=lambda: {"nodes": 3}, kubernetes="1.34.4")
    stage = SimpleNamespace(used=used, image_facts={"image redis": "redis@sha256:ab"})
    outcome = outcome_of(lab_of(stage=stage), "test_x", "")
    assert (outcome.cluster_facts, outcome.kubernetes) == ({"nodes": 3, "image redis": "redis@sha256:ab"}, "1.34.4")
    none = outcome_of(lab_of(), "test_x", "")
    assert (none.cluster_facts, none.kubernetes) == ({}, "")
