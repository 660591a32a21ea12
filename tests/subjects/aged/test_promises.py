"""What becomes of old objects after an upgrade: every verdict, on literal histories."""

from collections.abc import Sequence

import pytest

from chaos.judge.base import Invariant, Verdict, judge
from chaos.record.history import History
from chaos.record.records import IN_SYNC, Blind, ClusterEvent, FaultStep, PodChange, Sample
from chaos.record.registry import Record
from chaos.subjects.aged.promises import (
    changed_workload_follows,
    components_keep_running,
    containers_start,
    endpoints_follow,
    only_changed_pods_replaced,
    selected_nodes_stay,
)
from chaos.subjects.aged.records import AgedStored, ComponentSeen, Followed, Selected, Touched

FAULT = "start-anew"
PLANNED, LANDED, UNDOING, UNDONE = (
    FaultStep(at, FAULT, step) for at, step in ((5, "planned"), (10, "landed"), (60, "undoing"), (62, "undone"))
)
STEPS = (PLANNED, LANDED, UNDOING, UNDONE)
SAW_ALL = Sample(63, IN_SYNC, "watch:pods", 1.0)
AGED = AgedStored(1, "/registry/controllerrevisions/ns/set-1", aged=True)
SERVICE, SET, DAEMON = (
    Touched(20, "Service/s", ""),
    Touched(20, "StatefulSet/mended", ""),
    Touched(20, "DaemonSet/d", ""),
)


def judged(promise: Invariant, *records: Record) -> tuple[Verdict, str]:
    found = judge(promise, History.of_records([*STEPS, *records]))
    return found.verdict, found.reason


def is_unknown(promise: Invariant, *records: Record) -> bool:
    return judged(promise, *records)[0] is Verdict.UNKNOWN


@pytest.mark.parametrize(
    "promise",
    [
        components_keep_running(["a"], fault=FAULT, for_s=1),
        only_changed_pods_replaced(["w"], changed="mended", fault=FAULT),
        changed_workload_follows("mended", replicas=1, fault=FAULT, within_s=1),
        selected_nodes_stay("d", fault=FAULT),
        endpoints_follow(["s"], fault=FAULT, within_s=1),
    ],
    ids=lambda promise: promise.name,
)
def test_where_nothing_was_started_or_seen_nobody_knows(promise: Invariant) -> None:
    assert judge(promise, History.of_records([PLANNED])).verdict is Verdict.UNKNOWN
    assert is_unknown(promise)


# --- components


RUN = components_keep_running(["kcm", "api"], fault=FAULT, for_s=15)


def seen(at: float, component: str = "kcm", pid: int = 2, *, runs: bool = True) -> ComponentSeen:
    return ComponentSeen(at, component, pid, 100 * pid, runs)


BEFORE = (seen(4, pid=1), seen(4, "api", 11))
FIRST = (seen(11), seen(11, "api", 12))
LAST = (seen(59), seen(59, "api", 12))


def test_components_that_run_on_in_one_process_keep_the_promise() -> None:
    assert judged(RUN, *BEFORE, *FIRST, SERVICE, *LAST) == (Verdict.HELD, "")


@pytest.mark.parametrize("over", [seen(30, runs=False), seen(30, pid=3)], ids=["gone", "another one"])
def test_a_component_that_ended_breaks_it(over: ComponentSeen) -> None:
    assert judged(RUN, *BEFORE, *FIRST, SERVICE, over, *LAST) == (Verdict.VIOLATED, "ended")


def test_one_that_lost_its_lease_tells_nothing_of_objects() -> None:
    lost = ComponentSeen(30, "kcm", 2, 200, runs=False, lost_lease=True)
    assert is_unknown(RUN, *BEFORE, *FIRST, SERVICE, lost, *LAST)


def test_one_that_was_gone_when_it_was_first_looked_at_has_ended() -> None:
    assert judged(RUN, *BEFORE, seen(11, runs=False), FIRST[1], SERVICE, *LAST) == (Verdict.VIOLATED, "ended")


def test_one_that_ended_while_the_others_were_still_started_was_started() -> None:
    gone = (seen(9), seen(11, runs=False))
    assert judged(RUN, *BEFORE, *gone, FIRST[1], SERVICE, *LAST) == (Verdict.VIOLATED, "ended")


def test_one_of_which_only_the_old_process_was_there_was_not_started() -> None:
    assert judged(RUN, *BEFORE, seen(11, pid=1, runs=False), FIRST[1]) == (Verdict.VIOLATED, "not-started")


def test_what_ends_when_it_is_taken_back_has_not_ended_itself() -> None:
    assert judged(RUN, *BEFORE, *FIRST, SERVICE, *LAST, seen(61, runs=False))[0] is Verdict.HELD


def test_whoever_touched_nothing_or_looked_too_shortly_does_not_know() -> None:
    assert is_unknown(RUN, *BEFORE, *FIRST, *LAST)
    assert is_unknown(RUN, *BEFORE, *FIRST, SERVICE, seen(34), seen(34, "api", 12))
    assert is_unknown(RUN, *BEFORE, FIRST[0], SERVICE, LAST[0])
    assert is_unknown(RUN, *BEFORE, *FIRST, SERVICE, *LAST, Blind(25, "components", 30, "the disk was full"))


# --- pods


def pod(at: float, uid: str, workload: str = "set", *, change: str = "modified", deleting: bool = False) -> PodChange:
    return PodChange(at, "ns", uid, uid, change, workload=workload, ready=True, deleting=deleting)


KEEP = only_changed_pods_replaced(["set"], changed="mended", fault=FAULT)
OLD = (pod(0, "a", change="listed"), pod(0, "m", "mended", change="listed"))
MENDED = (pod(21, "m", "mended", deleting=True), pod(22, "n", "mended", change="added"))


def test_pods_that_stay_while_a_changed_one_is_replaced_keep_the_promise() -> None:
    assert judged(KEEP, AGED, *OLD, *MENDED, SAW_ALL) == (Verdict.HELD, "")


@pytest.mark.parametrize(
    "changes",
    [
        (pod(20, "a", deleting=True),),
        (pod(8, "a", change="deleted"),),
        (pod(20, "b", change="added"),),
        (pod(8, "a", change="deleted"), pod(8, "b", change="listed")),
    ],
    ids=["deleting", "deleted while it started", "one more", "another one in a list"],
)
def test_a_pod_that_nobody_changed_and_goes_or_comes_breaks_it(changes: Sequence[PodChange]) -> None:
    assert judged(KEEP, AGED, *OLD, *MENDED, *changes, SAW_ALL) == (Verdict.VIOLATED, "replaced")


def test_pods_that_stay_where_nothing_could_replace_them_show_nothing() -> None:
    assert is_unknown(KEEP, *OLD, *MENDED, SAW_ALL)  # nothing was old
    assert is_unknown(KEEP, AGED, *OLD, SAW_ALL)  # no controller was at it
    assert is_unknown(KEEP, AGED, OLD[1], *MENDED, SAW_ALL)  # there was none
    assert is_unknown(KEEP, AGED, *OLD, *MENDED)  # nobody says that all was seen
    assert is_unknown(KEEP, AGED, *OLD, *MENDED, Blind(30, "watch:pods", 31, "away"), SAW_ALL)


def test_one_that_goes_before_or_after_is_not_meant() -> None:
    later = pod(61, "a", deleting=True)
    earlier = (pod(0, "z", change="listed"), pod(1, "z", change="deleted"))
    assert judged(KEEP, AGED, *earlier, *OLD, *MENDED, later, SAW_ALL)[0] is Verdict.HELD


# --- the workload that is changed


GET_THERE = changed_workload_follows("mended", replicas=1, fault=FAULT, within_s=30)


def test_new_pods_that_are_ready_in_time_keep_the_promise() -> None:
    assert judged(GET_THERE, *OLD, SET, *MENDED, SAW_ALL) == (Verdict.HELD, "")


def test_new_pods_that_come_late_or_never_break_it() -> None:
    assert judged(GET_THERE, *OLD, SET, SAW_ALL) == (Verdict.VIOLATED, "not-updated")
    assert judged(GET_THERE, *OLD, SET, pod(51, "n", "mended"), SAW_ALL) == (Verdict.VIOLATED, "not-updated")


def test_where_nothing_was_changed_or_the_time_was_short_nobody_knows() -> None:
    assert is_unknown(GET_THERE, *OLD, SAW_ALL)
    assert is_unknown(GET_THERE, *OLD, Touched(40, "StatefulSet/mended", ""), SAW_ALL)
    assert is_unknown(GET_THERE, *OLD, SET)


# --- what a label finds


STAY = selected_nodes_stay("d", fault=FAULT)


def selected(at: float, found: str, served: str, *, observed: bool = True, until: float = 0) -> Selected:
    return Selected(at, until or at + 0.1, "d", tuple(found), tuple(served), observed)


def test_nodes_that_are_found_and_served_keep_the_promise() -> None:
    assert judged(STAY, selected(1, "n", "n"), DAEMON, selected(30, "n", "n"), SAW_ALL) == (Verdict.HELD, "")


def test_nodes_that_are_lost_or_bare_break_it() -> None:
    before = selected(1, "nm", "nm")
    assert judged(STAY, before, DAEMON, selected(30, "n", "nm"), SAW_ALL) == (Verdict.VIOLATED, "label-gone")
    assert judged(STAY, before, DAEMON, selected(30, "nm", "n"), SAW_ALL) == (Verdict.VIOLATED, "pods-gone")


def test_where_the_controller_was_not_at_it_nobody_knows() -> None:
    before, after = selected(1, "n", "n"), selected(30, "n", "n")
    assert is_unknown(STAY, before, DAEMON, selected(30, "n", "n", observed=False), SAW_ALL)
    assert is_unknown(STAY, before, after, SAW_ALL)
    assert is_unknown(STAY, before, DAEMON, SAW_ALL)
    assert is_unknown(STAY, selected(1, "n", ""), DAEMON, after, SAW_ALL)
    assert is_unknown(STAY, before, DAEMON, after)


def test_an_answer_that_came_when_it_was_taken_back_does_not_count() -> None:
    late = selected(59, "n", "n", until=60.5)
    found = judged(STAY, selected(1, "n", "n"), DAEMON, selected(30, "", "n"), late, SAW_ALL)
    assert found == (Verdict.VIOLATED, "label-gone")


# --- endpoints


FOLLOW = endpoints_follow(["s"], fault=FAULT, within_s=10)


def followed(at: float, pods: str, endpoints: str, slices: str) -> Followed:
    return Followed(at, at + 0.1, "s", tuple(pods), tuple(endpoints), tuple(slices))


WAS = followed(15, "ab", "ab", "ab")


def test_endpoints_that_follow_in_time_keep_the_promise() -> None:
    assert judged(FOLLOW, WAS, SERVICE, followed(21, "a", "ab", "a"), followed(22, "a", "a", "a")) == (Verdict.HELD, "")


@pytest.mark.parametrize(("endpoints", "slices"), [("ab", "a"), ("a", "ab"), ("", "a"), ("ab", "ab")])
def test_endpoints_or_slices_that_stay_behind_break_it(endpoints: str, slices: str) -> None:
    late = followed(31, "a", endpoints, slices)
    assert judged(FOLLOW, WAS, SERVICE, followed(21, "a", "ab", "ab"), late) == (Verdict.VIOLATED, "stale-endpoints")


def test_endpoints_that_follow_late_break_it() -> None:
    late = (followed(21, "a", "ab", "ab"), followed(30.5, "a", "ab", "ab"), followed(31, "a", "a", "a"))
    assert judged(FOLLOW, WAS, SERVICE, *late) == (Verdict.VIOLATED, "stale-endpoints")
    assert is_unknown(FOLLOW, WAS, SERVICE, late[0], late[2])  # nobody looked when it was due


def test_where_nothing_else_is_selected_or_nobody_looked_nobody_knows() -> None:
    assert is_unknown(FOLLOW, WAS, SERVICE, followed(22, "ab", "ab", "ab"), followed(31, "ab", "ab", "ab"))
    assert is_unknown(FOLLOW, WAS, SERVICE, followed(22, "a", "ab", "a"))
    assert is_unknown(FOLLOW, WAS, followed(22, "a", "a", "a"))
    assert is_unknown(FOLLOW, SERVICE, followed(22, "a", "a", "a"))


@pytest.mark.parametrize("component", ["kcm", "kube-scheduler"])
def test_where_a_component_had_lost_its_lease_nobody_knows_why_its_work_was_not_done(component: str) -> None:
    lost = ComponentSeen(19, component, 2, 200, runs=False, lost_lease=True)
    ended = ComponentSeen(19, component, 2, 200, runs=False)
    stale = followed(35, "ab", "a", "ab")
    assert judged(FOLLOW, WAS, SERVICE, ended, stale) == (Verdict.VIOLATED, "stale-endpoints")
    assert is_unknown(FOLLOW, WAS, SERVICE, lost, stale)
    assert judged(GET_THERE, *OLD, SET, ended, SAW_ALL) == (Verdict.VIOLATED, "not-updated")
    assert is_unknown(GET_THERE, *OLD, SET, lost, SAW_ALL)


# --- containers


START = containers_start(["old"], within_s=30)


def made(at: float, *containers: str) -> PodChange:
    return PodChange(at, "ns", "old", "u", "modified", workload="old", containers=containers)


def test_a_container_that_runs_in_time_keeps_the_promise() -> None:
    assert judged(START, made(5), made(20, "c")) == (Verdict.HELD, "")


def failed(pod: str = "old") -> ClusterEvent:
    return ClusterEvent(7, f"Pod/ns/{pod}", "Failed", "it has no UTF-8", "Warning")


def test_one_that_could_not_be_made_breaks_it() -> None:
    assert judged(START, made(5), failed(), SAW_ALL) == (Verdict.VIOLATED, "not-created")
    assert judged(START, made(5), failed(), made(36, "c"), SAW_ALL) == (Verdict.VIOLATED, "not-created")
    both = containers_start(["slow", "old"], within_s=30)
    slow = PodChange(5, "ns", "slow", "v", "modified", workload="slow")
    assert judged(both, slow, made(5), failed(), SAW_ALL) == (Verdict.VIOLATED, "not-created")
    assert is_unknown(both, slow, made(5), made(20, "c"), failed(), SAW_ALL)


def test_of_one_that_runs_late_or_never_and_no_kubelet_said_why_nobody_knows() -> None:
    assert is_unknown(START, made(5), SAW_ALL)
    assert is_unknown(START, made(5), made(36, "c"), failed("other"), SAW_ALL)


def test_where_no_pod_was_seen_or_not_for_as_long_nobody_knows() -> None:
    assert is_unknown(START, SAW_ALL)
    assert is_unknown(START, made(40), SAW_ALL)
    assert is_unknown(START, made(5))
