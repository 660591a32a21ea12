"""Handles run out: pods that do not start, connections that live on, daemons that say so."""

from chaos.judge.base import Finding, Verdict, judge
from chaos.record.records import Blind, ClusterEvent, PodChange, Sample
from chaos.record.registry import Record
from chaos.subjects.handles.promises import (
    daemons_not_restarted,
    daemons_reached,
    dns_answers,
    failure_shows,
    handle_limit_not_reached,
    pods_start,
    pods_start_after_release,
)
from chaos.subjects.handles.records import ANSWERS, LIMIT, OPEN, DaemonProcesses, ProcessId, SaidTooMany
from tests.judge.histories import asks, could_not_see_the_end, fault, history, pod, saw_the_end

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
EAT = "eat-handles"
CONTAINERD = "worker/containerd"


def spare(
    at: float, name: str = "spare-1", *, ready: bool = False, change: str = "modified", deleting: bool = False
) -> PodChange:
    return pod(at, name, change, workload="spare", ready=ready, deleting=deleting)


def refused(at: float, name: str = "spare-1") -> ClusterEvent:
    return ClusterEvent(at, f"Pod/ns/{name}", "FailedCreatePodSandBox", "sandbox: Too many open files", "Warning")


# --- pods start


def starting(*records: Record, undone: float = 90.0) -> Finding:
    return judge(
        pods_start("spare", fault=EAT, within_s=60.0), history(fault(10.0, undone, EAT), saw_the_end(), list(records))
    )


def test_pods_that_start_in_time_are_held() -> None:
    finding = starting(spare(12.0, change="added"), spare(14.5, ready=True))
    assert finding.verdict is HELD
    assert finding.figures["slowest_s"] == 2.5


def test_a_pod_that_does_not_start_for_want_of_handles() -> None:
    finding = starting(spare(12.0, change="added"), refused(13.0))
    assert (finding.verdict, finding.reason) == (VIOLATED, "too-many-open-files")


def test_a_pod_that_starts_late_or_for_another_reason() -> None:
    late = starting(spare(12.0, change="added"), spare(80.0, ready=True))
    assert (late.verdict, late.reason) == (VIOLATED, "no-start")
    other = starting(spare(12.0, change="added"), refused(13.0, "another"))
    assert (other.verdict, other.reason) == (VIOLATED, "no-start")


def test_a_pod_that_was_refused_is_known_to_be_kept_before_one_that_is_slow() -> None:
    assert starting(spare(12.0, change="added"), spare(30.0, ready=True)).verdict is HELD
    kept = starting(spare(12.0, change="added"), refused(13.0), spare(30.0, ready=True))
    assert (kept.verdict, kept.reason) == (VIOLATED, "too-many-open-files")
    assert "within 15 s" in kept.sentence
    assert starting(spare(12.0, change="added"), refused(13.0), spare(20.0, ready=True)).verdict is HELD
    assert starting(spare(12.0, change="added"), refused(13.0), undone=30.0).verdict is VIOLATED
    assert starting(spare(12.0, change="added"), undone=30.0).verdict is UNKNOWN


def test_a_pod_that_had_no_time_is_unknown() -> None:
    assert starting(spare(12.0, change="added"), spare(22.0, ready=True), undone=20.0).verdict is UNKNOWN
    assert starting().verdict is UNKNOWN
    assert starting(spare(5.0, change="added")).verdict is UNKNOWN
    assert judge(pods_start("spare", fault=EAT, within_s=60.0), history(saw_the_end())).verdict is UNKNOWN


def test_what_the_recorder_did_not_see_is_unknown() -> None:
    records = [spare(12.0, change="added"), spare(14.5, ready=True)]
    seen = history(fault(10.0, 90.0, EAT), could_not_see_the_end(), records)
    assert judge(pods_start("spare", fault=EAT, within_s=60.0), seen).verdict is UNKNOWN


def test_a_pod_that_may_have_started_in_time_is_unknown() -> None:
    """What a recorder that was held up told late."""
    late = [spare(12.0, change="added"), spare(80.0, ready=True)]
    held_up = Blind(70.0, "watch:pods", 80.0, "it took long", complete=True)
    found = starting(*late, held_up)
    assert (found.verdict, found.sentence) == (UNKNOWN, "whether spare-1 was Ready in time could not be seen")
    assert starting(*late, Blind(73.0, "watch:pods", 80.0, "it took long", complete=True)).verdict is VIOLATED
    other = spare(12.0, "b", change="added")
    kept = starting(*late, held_up, other, refused(13.0, "b"))
    assert (kept.verdict, kept.figures["not_started"]) == (VIOLATED, 1)


def test_a_pod_that_nobody_saw_to_the_end_may_have_started() -> None:
    made: list[Record] = [spare(12.0, change="added"), refused(13.0)]
    seen = history(fault(10.0, 90.0, EAT), could_not_see_the_end(), made)
    assert judge(pods_start("spare", fault=EAT, within_s=60.0), seen).verdict is UNKNOWN


# --- pods start after the release


def released(*records: Record) -> Finding:
    faults = [*fault(10.0, 20.0, EAT), *fault(50.0, 60.0, EAT)]
    invariant = pods_start_after_release("spare", fault=EAT, within_s=15.0)
    return judge(invariant, history(faults, saw_the_end(), list(records)))


def test_pods_that_waited_start_when_handles_are_there_again() -> None:
    finding = released(
        spare(12.0, change="added"),
        spare(23.0, ready=True),
        spare(52.0, "b", change="added"),
        spare(64.0, "b", ready=True),
    )
    assert finding.verdict is HELD
    assert finding.figures["waiting"] == 2
    assert finding.figures["slowest_s"] == 4.0


def test_a_pod_that_stays_away_after_the_release() -> None:
    assert released(spare(12.0, change="added")).verdict is VIOLATED
    late = released(spare(12.0, change="added"), spare(36.0, ready=True))
    assert (late.verdict, late.reason) == (VIOLATED, "late")


def test_a_pod_that_started_unseen_or_had_no_time_for_it_is_unknown() -> None:
    held_up = Blind(34.0, "watch:pods", 36.0, "it took long", complete=True)
    assert released(spare(12.0, change="added"), spare(36.0, ready=True), held_up).verdict is UNKNOWN
    waits = pods_start_after_release("spare", fault=EAT, within_s=15.0)
    one = [*fault(10.0, 20.0, EAT), spare(12.0, change="added")]
    assert judge(waits, history(one, saw_the_end(35.0))).verdict is UNKNOWN
    assert judge(waits, history(one, saw_the_end(35.1))).verdict is VIOLATED
    assert judge(waits, history(one, could_not_see_the_end(60.0))).verdict is UNKNOWN


def test_without_a_pod_that_had_to_wait_nothing_is_shown() -> None:
    assert released().verdict is UNKNOWN
    assert released(spare(12.0, change="added"), spare(14.0, ready=True)).verdict is UNKNOWN
    assert released(spare(12.0, change="added"), spare(15.0, deleting=True)).verdict is UNKNOWN


# --- DNS and connections


def test_dns_is_judged_apart_from_other_probes() -> None:
    others = asks("web", "-" * 20)
    assert judge(dns_answers(1.0, nodes=("worker",)), history(others, asks("dns", "+" * 20))).verdict is HELD
    down = asks("dns", "+++" + "-" * 10 + "+++")
    assert judge(dns_answers(1.0, nodes=("worker",)), history(down)).verdict is VIOLATED
    assert judge(dns_answers(1.0, nodes=("worker",)), history(others)).verdict is UNKNOWN


# --- daemons


def counted(*used: int, limit: int = 1024, subject: str = CONTAINERD) -> list[Record]:
    samples: list[Record] = []
    for i, value in enumerate(used):
        samples += [Sample(float(i), OPEN, subject, value), Sample(float(i), LIMIT, subject, limit)]
    return samples


def test_a_limit_that_is_reached() -> None:
    invariant = handle_limit_not_reached("worker", "containerd")
    assert judge(invariant, history(counted(40, 900, 1021))).verdict is HELD
    finding = judge(invariant, history(counted(40, 1022)))
    assert (finding.verdict, finding.reason) == (VIOLATED, "reached")
    assert judge(invariant, history()).verdict is UNKNOWN
    gap = [Sample(20.0, OPEN, CONTAINERD, 40), Sample(20.0, LIMIT, CONTAINERD, 1024)]
    assert judge(invariant, history(counted(40, 41), gap)).verdict is UNKNOWN
    blind = Blind(0.0, f"{OPEN}:{CONTAINERD}", 9.0, "the node does not answer")
    assert judge(invariant, history(counted(40, 41), blind)).verdict is UNKNOWN


def test_a_daemon_that_runs_out_has_to_say_so() -> None:
    invariant = failure_shows({"containerd": "worker"})
    assert judge(invariant, history(counted(40, 1024))).verdict is VIOLATED
    node, daemon = CONTAINERD.split("/")
    said = SaidTooMany(2.0, node, daemon, 3, "")
    assert judge(invariant, history(counted(40, 1024), said)).verdict is HELD
    assert judge(invariant, history(counted(40, 1024), refused(2.0))).verdict is HELD
    assert judge(invariant, history(counted(40, 41), said)).verdict is UNKNOWN
    assert judge(failure_shows({}), history()).verdict is UNKNOWN


def test_an_event_about_a_pod_speaks_for_the_runtime_only() -> None:
    records = counted(20, 30, limit=30, subject="worker/kube-proxy")
    assert judge(failure_shows({"kube-proxy": "worker"}), history(records, refused(2.0))).verdict is VIOLATED


def processes(at: float, pid: int, start: int) -> DaemonProcesses:
    node, _, daemon = CONTAINERD.partition("/")
    return DaemonProcesses(at, node, daemon, (ProcessId(pid, start),))


def test_a_daemon_that_was_restarted() -> None:
    invariant = daemons_not_restarted({"containerd": "worker"})
    same = [*counted(40, 41, 42, 43), processes(0.0, 131, 500)]
    harm = fault(1.0, 2.5, EAT)
    assert judge(invariant, history(same, harm)).verdict is HELD
    finding = judge(invariant, history(same, harm, processes(1.0, 900, 700)))
    assert (finding.verdict, finding.reason) == (VIOLATED, "restarted")
    assert judge(daemons_not_restarted({}), history(harm)).verdict is UNKNOWN


def test_a_daemon_that_nobody_looked_at_after_the_fault_may_have_been_restarted() -> None:
    invariant = daemons_not_restarted({"containerd": "worker"})
    seen = [*counted(40, 41, 42), processes(0.0, 131, 500)]
    assert judge(invariant, history(seen, fault(1.0, 9.0, EAT))).verdict is UNKNOWN
    assert judge(invariant, history(seen, fault(1.0, None, EAT))).verdict is UNKNOWN
    assert judge(invariant, history(seen)).verdict is UNKNOWN
    assert judge(invariant, history(fault(1.0, 9.0, EAT))).verdict is UNKNOWN
    gap = [Sample(20.0, OPEN, CONTAINERD, 40)]
    assert judge(invariant, history(seen, gap, fault(1.0, 9.0, EAT))).verdict is HELD


def asked(*when: tuple[float, bool], subject: str = CONTAINERD) -> list[Record]:
    return [Sample(at, ANSWERS, subject, float(answered)) for at, answered in when]


def test_a_daemon_that_is_deaf_once_it_has_handles_again() -> None:
    invariant = daemons_reached({"containerd": "worker"}, fault=EAT, within_s=10)
    harm = fault(1.0, 5.0, EAT)
    found = judge(invariant, history(harm, asked((5.5, False), (7.0, True))))
    assert (found.verdict, found.figures["slowest_s"]) == (HELD, 2.0)
    deaf = judge(invariant, history(harm, asked((5.5, False), (15.5, False))))
    assert (deaf.verdict, deaf.reason) == (VIOLATED, "deaf")
    late = judge(invariant, history(harm, asked((5.5, False), (15.5, False), (16.0, True))))
    assert (late.verdict, late.reason) == (VIOLATED, "deaf")


def test_a_daemon_that_nobody_asked_long_enough_may_be_deaf_or_not() -> None:
    invariant = daemons_reached({"containerd": "worker"}, fault=EAT, within_s=10)
    harm = fault(1.0, 5.0, EAT)
    for records in (asked((5.5, False)), asked((3.0, True)), asked((5.5, True), subject="worker/kubelet"), []):
        assert judge(invariant, history(harm, records)).verdict is UNKNOWN
    assert judge(invariant, history(asked((5.5, True)))).verdict is UNKNOWN
    assert judge(daemons_reached({}, fault=EAT, within_s=10), history(harm)).verdict is UNKNOWN


def test_each_daemon_is_asked_after_its_own_fault() -> None:
    invariant = daemons_reached({"containerd": "worker", "kubelet": "worker"}, fault=EAT, within_s=10)
    twice = [*fault(1.0, 5.0, EAT), *fault(50.0, 60.0, EAT)]
    both = [*asked((6.0, True)), *asked((61.0, True), subject="worker/kubelet")]
    assert judge(invariant, history(twice, both)).verdict is HELD


def test_that_our_undo_restarts_a_deaf_daemon_is_no_restart_of_its_own() -> None:
    invariant = daemons_not_restarted({"containerd": "worker"})
    seen = [*counted(*[40] * 30), processes(0.0, 131, 500)]
    harm, anew = fault(1.0, 5.0, EAT), processes(20.0, 900, 700)
    assert judge(invariant, history(seen, harm, asked((5.5, False), (15.5, False)), anew)).verdict is HELD
    assert judge(invariant, history(seen, harm, asked((5.5, False), (7.0, True)), anew)).verdict is VIOLATED
    before = processes(4.0, 900, 700)
    assert judge(invariant, history(seen, harm, asked((5.5, False), (15.5, False)), before)).verdict is VIOLATED
