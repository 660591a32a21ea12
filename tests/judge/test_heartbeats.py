from chaos.judge.base import Finding, Verdict, judge
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
    silent = lease(31, "b", 30)
    assert verdict(lease(15, "a", 1), silent, lease(40, "a", 1), lease(40, "b", 2)) is Verdict.VIOLATED


def test_where_nobody_looked_when_it_was_due_a_late_renewal_says_nothing() -> None:
    """It may have been renewed in time, and once more before anybody looked."""
    found = finding(lease(15, "a", 1), lease(29, "b", 28), lease(40, "a", 1), lease(40, "b", 2))
    assert found.verdict is Verdict.UNKNOWN
    assert found.sentence == "nobody saw whether the kubelet of b had renewed its lease when it was due"


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


def finding(*records: Record, nodes: tuple[str, ...] = ("a", "b")) -> Finding:
    return judge(kubelets_report_again(nodes, within_s=20), History.of_records([*FAULT, *records]))


def test_each_first_renewal_after_the_undo_is_measured() -> None:
    other = Sample(12.0, "another-age", "a", 1.0)
    found = finding(lease(10.5, "a", 0.5), other, lease(15, "a", 1.25), lease(16, "a", 0), lease(31, "b", 1))
    assert (found.verdict, found.figures) == (Verdict.HELD, {"nodes": 2, "report_s_a": 3.75, "report_s_b": 20.0})
    assert found.sentence == "all 2 kubelets renewed their lease, the last after 20.0 s"


def test_a_renewal_past_the_limit_is_late_and_those_in_time_are_measured_all_the_same() -> None:
    late = [lease(at, "b", 36 + at) for at in range(24, 31)]
    found = finding(lease(15, "a", 1), *late, lease(30.1, "b", 0))
    assert (found.verdict, found.figures) == (Verdict.VIOLATED, {"nodes": 2, "silent": 1, "report_s_a": 4.0})
    assert found.sentence == "the kubelets of b did not renew their lease within 20 s after the fault"
    assert found.proof == (*late[3:], lease(30.1, "b", 0))


def test_sampled_until_the_very_limit_is_long_enough() -> None:
    assert finding(lease(15, "a", 1), lease(30, "b", 25)).verdict is Verdict.VIOLATED
    early = finding(lease(15, "a", 1), lease(29.9, "b", 25))
    assert (early.verdict, early.sentence) == (
        Verdict.UNKNOWN,
        "leases were sampled until 29.9 s, less than 20 s after the fault was undone",
    )


def test_a_lease_of_the_moment_of_the_undo_is_no_report() -> None:
    assert not reporting(History.of_records([*FAULT, lease(11, "a", 1)]), ("a",))
    assert not reporting(History.of_records([lease(11, "a", 1)]), ("a",))
    assert finding(lease(11, "a", 1), lease(31, "a", 21), nodes=("a",)).verdict is Verdict.VIOLATED


def test_what_is_sampled_of_a_node_beside_its_lease_is_no_report() -> None:
    other = Sample(15.0, "another-age", "a", 1.0)
    assert finding(other, lease(31, "a", 30), nodes=("a",)).verdict is Verdict.VIOLATED
    assert not reporting(History.of_records([*FAULT, other]), ("a",))


def test_a_node_whose_lease_is_gone_is_silent_where_others_were_looked_at() -> None:
    others = [lease(15, "a", 1), lease(31, "a", 1)]
    found = finding(lease(9, "b", 2), *others)
    assert (found.verdict, found.reason, found.proof) == (Verdict.VIOLATED, "silent", (lease(9, "b", 2),))
    never = finding(*others)
    assert (never.verdict, never.proof) == (Verdict.VIOLATED, (lease(31, "a", 1),))
    assert finding(lease(9, "b", 2), lease(15, "a", 1), lease(29.9, "a", 1)).verdict is Verdict.UNKNOWN
