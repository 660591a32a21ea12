"""Handles that run out, judged to the last figure: bounds, sentences, proof."""

import pytest

from chaos.judge.base import Finding, Verdict, judge
from chaos.record.records import Blind, ClusterEvent, PodChange, Sample
from chaos.record.registry import Record
from chaos.subjects.handles.promises import (
    REFUSED_S,
    SLACK,
    daemons_not_restarted,
    daemons_reached,
    failure_shows,
    handle_limit_not_reached,
    pods_start,
    pods_start_after_release,
)
from chaos.subjects.handles.records import (
    ANSWERS,
    LIMIT,
    OPEN,
    SAMPLE_GAP_S,
    DaemonProcesses,
    ProcessId,
    SaidTooMany,
)
from tests.judge.histories import fault, history, pod, saw_the_end

HELD, VIOLATED, UNKNOWN = Verdict.HELD, Verdict.VIOLATED, Verdict.UNKNOWN
EAT, CONTAINERD = "eat-handles", "worker/containerd"


def spare(at: float, name: str = "s1", *, ready: bool = False, change: str = "modified", **more: object) -> PodChange:
    return pod(at, name, change, workload="spare", ready=ready, **more)


def refused(at: float, name: str = "s1") -> ClusterEvent:
    return ClusterEvent(at, f"Pod/ns/{name}", "FailedCreatePodSandBox", "sandbox: Too many open files", "Warning")


def started(*records: Record, undone: float = 90.0) -> Finding:
    made = pods_start("spare", fault=EAT, within_s=60.0)
    return judge(made, history(fault(10.0, undone, EAT), saw_the_end(), list(records)))


def test_a_start_at_the_limit_is_in_time_and_the_slowest_is_told() -> None:
    held = started(
        spare(10.0, change="added"), spare(70.0, ready=True), spare(12.0, "s2"), spare(13.0, "s2", ready=True)
    )
    assert (held.verdict, held.figures) == (HELD, {"pods": 2, "slowest_s": 60.0})
    assert held.sentence == "2 pods were started on worker, the slowest in 60.0 s"
    late = started(spare(10.0, change="added"), spare(70.1, ready=True))
    assert late.sentence == "1 of 1 pods of spare on worker were not Ready within 60 s"
    assert late.figures == {"pods": 1, "not_started": 1, "events": 0}
    assert late.proof == (spare(10.0, change="added"),)


def test_a_start_after_the_undo_is_none_and_had_time_or_not() -> None:
    after = [spare(30.0, change="added"), spare(90.1, ready=True)]
    assert started(*after).reason == "no-start"
    short = started(spare(30.1, change="added"), spare(90.1, ready=True))
    assert (short.verdict, short.sentence) == (UNKNOWN, "the fault ended before s1 had 60 s to start")
    assert short.proof == (spare(30.1, change="added"),)
    assert started(spare(30.0, change="added"), spare(90.0, ready=True)).verdict is HELD
    other = pod(12.0, "web-1", "added", ready=True)
    assert started(other).sentence == "no pod of spare was made while eat-handles lasted"


def test_a_refused_pod_has_its_own_limit_and_its_event_is_proof() -> None:
    in_time = started(spare(12.0, change="added"), refused(13.0), spare(12.0 + REFUSED_S, ready=True))
    assert in_time.verdict is HELD
    kept = started(spare(12.0, "s2"), spare(13.0, "s2", ready=True), spare(12.0, change="added"), refused(13.0))
    assert kept.sentence == (
        '1 of 2 pods of spare on worker were not Ready within 15 s: "sandbox: Too many open files"'
    )
    assert kept.figures == {"pods": 2, "not_started": 1, "events": 1}
    assert kept.proof == (spare(12.0, change="added"), refused(13.0))
    soon = started(spare(12.0, change="added"), refused(13.0), undone=26.9)
    assert soon.sentence == "the fault ended before s1 had 15 s to start"


def released(*records: Record) -> Finding:
    made = pods_start_after_release("spare", fault=EAT, within_s=15.0)
    steps = [*fault(10.0, 20.0, EAT), *fault(12.0, 18.0, "another"), *fault(50.0, 60.0, EAT)]
    return judge(made, history(steps, saw_the_end(), list(records)))


def test_of_pods_that_waited_the_slowest_is_told_and_the_limit_is_in_time() -> None:
    held = released(
        spare(12.0, change="added"), spare(20.5, ready=True), spare(60.0, "s2"), spare(75.0, "s2", ready=True)
    )
    assert (held.verdict, held.figures) == (HELD, {"waiting": 2, "slowest_s": 15.0})
    assert held.sentence == "2 pods had waited, and were Ready 15.0 s after eat-handles was over"
    late = released(spare(12.0, change="added"), spare(13, "s2"), spare(21, "s2", ready=True), spare(35.1, ready=True))
    assert (late.sentence, late.figures) == (
        "s1 not Ready within 15 s after eat-handles was over",
        {"waiting": 2, "late": 1},
    )


def test_who_was_ready_at_its_end_or_not_wanted_any_more_did_not_wait() -> None:
    nobody = "no pod of spare was waiting when eat-handles was over"
    assert released(spare(12.0, change="added"), spare(20.0, ready=True)).sentence == nobody
    assert released(spare(12.0, change="added"), spare(20.0, deleting=True)).sentence == nobody
    assert released(spare(12.0, change="added"), spare(20.0, change="deleted")).sentence == nobody
    assert released(spare(30.0, change="added")).sentence == nobody
    gone_later = released(spare(12.0, change="added"), spare(20.1, deleting=True))
    assert gone_later.verdict is VIOLATED


# --- daemons


def counted(at: float, used: float, limit: float = 1024, subject: str = CONTAINERD) -> list[Record]:
    return [Sample(at, OPEN, subject, used), Sample(at, LIMIT, subject, limit)]


LEFT = handle_limit_not_reached("worker", "containerd")


def test_the_most_handles_are_told_against_the_lowest_limit() -> None:
    other = counted(1.0, 9000, 9000, "worker/kubelet")
    held = judge(LEFT, history(counted(0.0, 40, 2000), counted(1.0, 1021), counted(2.0, 50, 3000), other))
    assert (held.verdict, held.figures) == (HELD, {"most": 1021, "limit": 1024})
    assert held.sentence == "containerd on worker had at most 1021 of 1024 handles open"
    assert SLACK == 2
    reached = judge(LEFT, history(counted(0.0, 40), counted(1.0, 1022), counted(2.0, 1024)))
    assert reached.sentence == "containerd on worker had 1022 handles open at 1.0 s, and its limit was reached"
    assert (reached.figures, len(reached.proof)) == ({"most": 1024, "limit": 1024}, 2)
    assert judge(LEFT, history(other)).sentence == "the handles of containerd on worker were never counted"
    assert judge(LEFT, history(counted(0.0, 40)[:1])).verdict is UNKNOWN


@pytest.mark.parametrize(("after_s", "verdict"), [(SAMPLE_GAP_S, HELD), (SAMPLE_GAP_S + 0.1, UNKNOWN)])
def test_a_gap_in_the_counts_is_unknown(after_s: float, verdict: Verdict) -> None:
    assert judge(LEFT, history(counted(0.0, 40), counted(after_s, 40))).verdict is verdict
    blind = Blind(0.0, f"{OPEN}:{CONTAINERD}", after_s, "away")
    judged = judge(LEFT, history(counted(0.0, 40), counted(1.0, 40), blind))
    assert judged.verdict is verdict
    if verdict is UNKNOWN:
        assert judged.sentence == "worker/containerd could not be looked at from 0.0 s to 5.1 s"
        assert judged.proof == (blind,)
        gap = judge(LEFT, history(counted(0.0, 40), counted(after_s, 40)))
        assert gap.sentence == "worker/containerd was not looked at from 0.0 s to 5.1 s"
    elsewhere = Blind(0.0, f"{OPEN}:worker/kubelet", 9.0, "away")
    assert judge(LEFT, history(counted(0.0, 40), counted(1.0, 40), elsewhere)).verdict is HELD


def test_what_shows_is_told_and_who_is_silent_is_named() -> None:
    both = failure_shows({"containerd": "worker", "kubelet": "worker"})
    ran_out = [*counted(1.0, 1024), *counted(1.0, 64, 64, "worker/kubelet")]
    said = SaidTooMany(2.0, "worker", "kubelet", 3, "")
    held = judge(both, history(ran_out, said, refused(2.0), refused(3.0)))
    assert (held.verdict, held.figures) == (HELD, {"daemons": 2, "events": 2})
    assert held.sentence == "containerd, kubelet said that they ran out of handles, 2 events among it"
    silent = judge(both, history(ran_out, refused(2.0)))
    assert silent.sentence == "kubelet ran out of handles, and no log or event says so"
    assert silent.proof == (ran_out[2],)
    other = ClusterEvent(2.0, "Pod/ns/s1", "FailedMount", "timed out", "Warning")
    assert judge(both, history(ran_out, said, other)).sentence.startswith("containerd ran out")
    none = judge(both, history(counted(1.0, 1024)))
    assert none.sentence == "the limit of kubelet was not reached: nothing had to show"
    assert judge(failure_shows({}), history()).sentence == "the limit of no daemon was not reached: nothing had to show"


def asked(*when: tuple[float, float], subject: str = CONTAINERD) -> list[Record]:
    return [Sample(at, ANSWERS, subject, answered) for at, answered in when]


REACHED = daemons_reached({"containerd": "worker"}, fault=EAT, within_s=10)


def test_an_answer_at_the_limit_is_in_time_and_past_it_is_deaf() -> None:
    harm = fault(1.0, 5.0, EAT)
    held = judge(REACHED, history(harm, asked((5.0, 0), (15.0, 1), (30.0, 0))))
    assert (held.verdict, held.figures) == (HELD, {"daemons": 1, "slowest_s": 10.0})
    assert held.sentence == "containerd took a connection 10.0 s after the release at the latest"
    late = judge(REACHED, history(harm, asked((5.0, 0), (15.05, 0), (15.1, 1))))
    assert late.sentence == (
        "containerd on worker took a connection only 10.1 s after it had handles again, allowed were 10 s"
    )
    assert (late.figures, len(late.proof)) == ({"asked": 3}, 3)
    unasked = judge(REACHED, history(harm, asked((5.0, 0), (15.0, 0), (15.1, 1))))
    assert (unasked.verdict, unasked.sentence) == (
        UNKNOWN,
        "containerd on worker was not asked again until 10 s after its release",
    )
    deaf = judge(REACHED, history(harm, asked((5.5, 0), (15.1, 0))))
    assert deaf.sentence == "containerd on worker takes no connection after it had handles again, allowed were 10 s"
    short = judge(REACHED, history(harm, asked((5.5, 0), (15.0, 0))))
    assert (short.verdict, short.sentence) == (
        UNKNOWN,
        "containerd on worker was asked for 10.0 s only after eat-handles was undone",
    )
    never = judge(REACHED, history(harm, fault(2.0, 4.0, "another"), asked((4.5, 1))))
    assert never.sentence == "containerd on worker was not asked after eat-handles was undone"
    assert judge(daemons_reached({}, fault=EAT, within_s=1), history(harm)).sentence == "no daemon was named"


def test_of_two_daemons_the_slowest_is_told() -> None:
    both = daemons_reached({"containerd": "worker", "kubelet": "worker"}, fault=EAT, within_s=10)
    answers = [*asked((8.0626, 1)), *asked((6.0, 1), subject="worker/kubelet")]
    assert judge(both, history(fault(1.0, 5.0, EAT), answers)).figures == {"daemons": 2, "slowest_s": 3.063}


def processes(at: float, pid: int, daemon: str = "containerd") -> DaemonProcesses:
    return DaemonProcesses(at, "worker", daemon, (ProcessId(pid, 500),))


SAME = daemons_not_restarted({"containerd": "worker"})


def test_a_restart_is_told_with_both_processes() -> None:
    looks = [*counted(0.0, 40), *counted(9.0, 40)]
    harm = fault(1.0, 8.0, EAT)
    found = judge(SAME, history(looks, harm, processes(0.0, 131), processes(4.0, 900), processes(5.0, 7, "kubelet")))
    assert found.sentence == "containerd on worker was restarted: its processes were 131:500, then 900:500"
    assert found.proof == (processes(0.0, 131), processes(4.0, 900))
    held = judge(SAME, history(looks, harm, processes(0.0, 131), processes(5.0, 7, "kubelet")))
    assert (held.sentence, held.figures) == ("containerd ran all the time", {"daemons": 1})


@pytest.mark.parametrize(
    ("first", "last", "verdict"),
    [(1.0, 8.0, HELD), (1.1, 9.0, UNKNOWN), (0.0, 7.9, UNKNOWN)],
)
def test_it_was_looked_at_from_before_the_fault_until_after_it(first: float, last: float, verdict: Verdict) -> None:
    looks = [*counted(first, 40), *counted(last, 40), *counted(0.0, 1, subject="worker/kubelet")]
    found = judge(SAME, history(looks, fault(1.0, 8.0, EAT), processes(first, 131)))
    assert found.verdict is verdict
    if verdict is UNKNOWN:
        assert found.sentence == "containerd on worker was not looked at before the fault and after it"
    nobody = judge(daemons_not_restarted({}), history(fault(1.0, 8.0, EAT)))
    assert nobody.sentence == "no daemon was named"
    assert judge(SAME, history(looks)).sentence == "no fault landed, so nothing could restart anything"


def test_a_deaf_daemon_is_judged_until_it_was_asked_last() -> None:
    looks = [*counted(0.0, 40), *counted(30.0, 40)]
    harm, deaf = fault(1.0, 5.0, EAT), asked((5.5, 0), (9.0, 0), (15.5, 0))
    for at, verdict in [(10.0, VIOLATED), (15.5, VIOLATED), (15.6, HELD)]:
        assert judge(SAME, history(looks, harm, deaf, processes(0.0, 131), processes(at, 900))).verdict is verdict, at
