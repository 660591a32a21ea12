"""Whether pods stayed for as long as they tolerate: every verdict, on literal histories."""

import pytest

from chaos.judge.base import Verdict, judge
from chaos.record.history import History
from chaos.record.records import IN_SYNC, Blind, FaultStep, NodeChange, PodChange, Sample
from chaos.record.registry import Record
from chaos.subjects.zones.promises import tolerations_waited_out

FAULT, UNREACHABLE = "stop-heartbeats", ("node.kubernetes.io/unreachable:NoExecute",)
LANDED, UNDONE = FaultStep(1, FAULT, "landed"), FaultStep(60, FAULT, "undone")
SAW_ALL = (Sample(61, IN_SYNC, "watch:pods", 1.0), Sample(61, IN_SYNC, "watch:nodes", 1.0))
UP = NodeChange(0, "n1", "listed", "True")
BEFORE = PodChange(0, "ns", "brief-1", "1", "listed", workload="brief", node="n1", ready=True)


def tainted(at: float, *taints: str) -> NodeChange:
    return NodeChange(at, "n1", "modified", "Unknown", taints)


def gone(at: float, *, reason: str = "DeletionByTaintManager", uid: str = "1") -> PodChange:
    return PodChange(
        at, "ns", f"brief-{uid}", uid, "modified", workload="brief", node="n1", deleting=True, reason=reason
    )


def judged(*records: Record) -> tuple[Verdict, str, str]:
    found = judge(tolerations_waited_out("brief", tolerated_s=10, fault=FAULT), History.of_records(records))
    return found.verdict, found.reason, found.sentence


def test_pods_that_stay_until_their_toleration_is_over_keep_it() -> None:
    verdict, _, said = judged(
        UP, BEFORE, LANDED, tainted(10, *UNREACHABLE), gone(20), gone(22, uid="2"), UNDONE, *SAW_ALL
    )
    assert verdict is Verdict.HELD
    assert said == "2 pods of brief were deleted for their nodes' taints, none before 10.0 s"


@pytest.mark.parametrize("at", [10.01, 14.9])
def test_pods_that_go_at_once_break_it(at: float) -> None:
    verdict, reason, said = judged(UP, BEFORE, LANDED, tainted(10, *UNREACHABLE), gone(at), UNDONE, *SAW_ALL)
    assert (verdict, reason) == (Verdict.VIOLATED, "too-early")
    assert said.startswith(
        f"1 of 1 pods of brief were deleted before the 10 s that they tolerate were over, brief-1 {at - 10:.1f} s"
    )


def test_what_was_told_late_is_neither_early_nor_in_time() -> None:
    held_up = Blind(10.2, "watch:nodes", 18, "held up", complete=True)
    late_taint = judged(UP, BEFORE, LANDED, held_up, tainted(18, *UNREACHABLE), gone(20.5), UNDONE, *SAW_ALL)
    assert late_taint[0] is Verdict.UNKNOWN
    late_pod = Blind(10.2, "watch:pods", 19.5, "held up", complete=True)
    told_late = judged(UP, BEFORE, LANDED, tainted(10, *UNREACHABLE), late_pod, gone(19.5), UNDONE, *SAW_ALL)
    assert told_late[0] is Verdict.UNKNOWN


def test_the_time_is_counted_from_the_last_taint_on() -> None:
    came_back = (tainted(3, *UNREACHABLE), NodeChange(8, "n1", "modified", "True"), tainted(20, *UNREACHABLE))
    assert judged(UP, BEFORE, LANDED, *came_back, gone(21), UNDONE, *SAW_ALL)[0] is Verdict.VIOLATED
    more = (tainted(3, *UNREACHABLE), tainted(12, "other:NoExecute", *UNREACHABLE))
    assert judged(UP, BEFORE, LANDED, *more, gone(13), UNDONE, *SAW_ALL)[0] is Verdict.HELD


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ((UP, BEFORE, tainted(10, *UNREACHABLE), gone(20)), "never landed"),
        ((UP, BEFORE, LANDED, tainted(10, *UNREACHABLE), UNDONE, *SAW_ALL), "no pod of brief was deleted for its"),
        ((UP, BEFORE, LANDED, tainted(10, *UNREACHABLE), gone(11, reason=""), UNDONE, *SAW_ALL), "no pod of brief"),
        ((UP, BEFORE, LANDED, tainted(10, *UNREACHABLE), gone(17), UNDONE, *SAW_ALL), "not known well enough: 7.0 s"),
        ((UP, BEFORE, LANDED, gone(17), UNDONE, *SAW_ALL), "no taint of its node was seen"),
        (
            (UP, BEFORE, LANDED, tainted(10, "x:NoSchedule"), gone(17), UNDONE, *SAW_ALL),
            "no taint of its node was seen",
        ),
        ((UP, BEFORE, LANDED, tainted(10, *UNREACHABLE), gone(20), UNDONE), "does not say that it saw the end"),
        (
            (
                UP,
                BEFORE,
                LANDED,
                Blind(5, "watch:nodes", 9, "away", complete=False),
                tainted(10, *UNREACHABLE),
                gone(20),
                UNDONE,
                *SAW_ALL,
            ),
            "away",
        ),
    ],
)
def test_where_too_little_is_known_nobody_can_say(records: tuple[Record, ...], said: str) -> None:
    verdict, _, sentence = judged(*records)
    assert verdict is Verdict.UNKNOWN
    assert said in sentence
