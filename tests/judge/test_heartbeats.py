from chaos.judge.base import Verdict, judge
from chaos.judge.heartbeats import kubelets_report_again, reporting
from chaos.record.history import History
from chaos.record.leases import LEASE_AGE
from chaos.record.records import FaultStep, Sample
from chaos.record.registry import Record

FAULT = (FaultStep(1.0, "power-off", "landed"), FaultStep(10.0, "power-off", "undone"))


def lease(at: float, node: str, age_s: float) -> Sample:
    return Sample(at, LEASE_AGE, node, age_s)


def verdict(*records: Record) -> Verdict:
    return judge(kubelets_report_again(("a", "b"), within_s=20), History.of_records([*FAULT, *records])).verdict


def test_held_when_every_lease_was_renewed_in_time() -> None:
    assert verdict(lease(15, "a", 1), lease(16, "b", 2)) is Verdict.HELD


def test_violated_when_one_kubelet_stays_silent() -> None:
    records = [lease(15, "a", 1), lease(31, "a", 1), lease(31, "b", 30)]
    finding = judge(kubelets_report_again(("a", "b"), within_s=20), History.of_records([*FAULT, *records]))
    assert (finding.verdict, finding.reason) == (Verdict.VIOLATED, "silent")
    assert "b" in finding.sentence


def test_violated_when_a_lease_was_renewed_too_late() -> None:
    assert verdict(lease(15, "a", 1), lease(40, "a", 1), lease(40, "b", 2)) is Verdict.VIOLATED


def test_a_lease_renewed_before_the_undo_is_no_report() -> None:
    assert verdict(lease(31, "a", 22), lease(31, "b", 22)) is Verdict.VIOLATED


def test_unknown_when_the_samples_end_too_early() -> None:
    assert verdict(lease(15, "a", 1), lease(16, "b", 8)) is Verdict.UNKNOWN


def test_unknown_without_samples_or_without_an_undo() -> None:
    assert verdict() is Verdict.UNKNOWN
    history = History.of_records([FAULT[0], lease(15, "a", 1)])
    assert judge(kubelets_report_again(("a",), within_s=20), history).verdict is Verdict.UNKNOWN


def test_reporting() -> None:
    history = History.of_records([*FAULT, lease(15, "a", 1)])
    assert reporting(history, ("a",))
    assert not reporting(history, ("a", "b"))


def test_ages_that_stand_still_are_no_samples() -> None:
    """Each of them alone would say that the kubelet renewed its lease just then."""
    still = [lease(15 + at, "a", 1.234) for at in range(3)]
    assert verdict(*still[:2], lease(16, "b", 2)) is Verdict.HELD
    assert verdict(*still, lease(16, "b", 2)) is Verdict.UNKNOWN
    between = [still[0], lease(15.5, "b", 1.234), *still[1:]]
    assert verdict(*between) is Verdict.UNKNOWN
