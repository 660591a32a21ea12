"""What upstream's report of a spec means: which failures say nothing of the cluster."""

import pytest

from chaos.conformance.ginkgo import Failure, FurtherFailure, Location, Report
from chaos.conformance.outcome import Reason, State
from chaos.conformance.spec import Spec, spec
from chaos.conformance.verdicts import outcome

PLAIN = spec("[sig-apps] StatefulSet should run", ("sig-apps",))
CONFORMANCE = spec("[sig-apps] StatefulSet should run [Conformance]", ("sig-apps", "Conformance"))
EVENT = 'At 23:01:00 - event for web-0: {kubelet w1} Failed: Failed to pull image "far/httpd:2": no such host'
UNBOUND = "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."


def report(state: str, message: str = "", output: str = "") -> Report:
    return Report(state=state, failure=Failure(message), captured_ginkgo_writer_output=output, run_time=2 * 10**9)


@pytest.mark.parametrize(
    ("of", "state", "message", "output", "verdict", "reason"),
    [
        (PLAIN, "passed", "", EVENT, State.PASSED, None),
        (PLAIN, "failed", "expected 3 pods, got 2", "", State.FAILED, Reason.FAILED),
        (PLAIN, "panicked", "", "", State.FAILED, Reason.FAILED),
        (PLAIN, "failed", "timed out", EVENT, State.UNKNOWN, Reason.NO_IMAGE),
        (CONFORMANCE, "failed", "Conformance requires at least two nodes", "", State.UNKNOWN, Reason.TOO_FEW_NODES),
        (PLAIN, "skipped", "Requires at least 2 nodes (not 1)", "", State.UNKNOWN, Reason.TOO_FEW_NODES),
        (PLAIN, "skipped", "error finding default storageClass : none", "", State.UNKNOWN, Reason.NO_STORAGE_CLASS),
        (PLAIN, "failed", "timed out", UNBOUND, State.FAILED, Reason.FAILED),
        (PLAIN, "skipped", "Only supported for providers [gce]", "", State.SKIPPED, Reason.SKIPPED),
        (CONFORMANCE, "skipped", "Only supported for providers [gce]", "", State.UNKNOWN, Reason.SKIPPED),
    ],
)
def test_a_report_becomes_the_verdict_it_should(
    of: Spec, state: str, message: str, output: str, verdict: State, reason: Reason | None
) -> None:
    found = outcome(of, report(state, message, output))
    assert (found.state, found.reason) == (verdict, reason)
    assert found.took_s == 2.0
    assert found.passed == (verdict is State.PASSED)
    if message:
        assert found.message.startswith(message)  # upstream's own words first


def test_an_unbound_claim_says_nothing_where_there_is_no_default_class() -> None:
    found = outcome(PLAIN, report("failed", "timed out", UNBOUND), default_class=False)
    assert (found.state, found.reason) == (State.UNKNOWN, Reason.NO_STORAGE_CLASS)


def test_a_report_has_its_place_and_what_failed_later() -> None:
    more = FurtherFailure("failed", Failure("cleaning up failed too"))
    found = Report(
        failure=Failure("no", Location("web.go", 3)), captured_std_out_err="out", additional_failures=(more,)
    )
    assert found.message == "no\n(at web.go:3)"
    assert found.output == "out\n[failed] cleaning up failed too"
