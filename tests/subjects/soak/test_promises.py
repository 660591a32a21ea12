"""What components hold, and read: every verdict, on literal histories."""

from chaos.judge.base import Finding, Verdict, judge
from chaos.record.history import History
from chaos.record.registry import Record
from chaos.subjects.soak.promises import goroutines_do_not_grow, heap_does_not_grow, reads_do_not_grow
from chaos.subjects.soak.records import ComponentProfile, Keeper, QuietSpan

KUBELET, SCHEDULER = "kubelet", "kube-scheduler"
HEAP = heap_does_not_grow([KUBELET], limit_kb_per_thousand=100, least=1000)
GOROUTINES = goroutines_do_not_grow([KUBELET], limit_per_thousand=10, least=1000)
READS = reads_do_not_grow(limit_bytes_s_per_thousand=500, least=5000, lasts_s=95)


def look(number: int, kb: int, goroutines: int = 300, **other: object) -> ComponentProfile:
    """After so many thousand operations."""
    said: dict[str, object] = {
        "component": KUBELET,
        "process": "1.00",
        "operations": number * 1000,
        "settled": True,
        "heap": (Keeper("cache.Add", 20_000), Keeper("context.WithCancel", kb * 900)),
        "stacks": (Keeper("watch", goroutines),),
        **other,
    }
    return ComponentProfile(at=number, heap_bytes=kb * 1000, goroutines=goroutines, **said)  # type: ignore[arg-type]


def judged(*records: Record) -> Finding:
    return judge(HEAP, History.of_records(records))


def test_a_heap_that_settles_keeps_the_promise() -> None:
    assert judged(look(1, 9000), look(2, 9050), look(3, 9080)).verdict is Verdict.HELD
    # What came to stay in one round alone is no growth, and so is what went away again.
    assert judged(look(1, 9000), look(2, 9900), look(3, 9900)).verdict is Verdict.HELD
    assert judged(look(1, 9000), look(2, 8000), look(3, 9500)).verdict is Verdict.HELD
    # The way to where it settles is not judged.
    assert judged(look(0, 1000), look(1, 9000), look(2, 9001), look(3, 9002)).verdict is Verdict.HELD


def test_a_heap_that_grows_in_each_round_breaks_it_and_the_stack_is_named() -> None:
    found = judged(look(1, 9000), look(2, 9150), look(3, 9400))
    assert (found.verdict, found.reason) == (Verdict.VIOLATED, "heap-grows")
    assert found.figures == {"kb_per_thousand": 150.0, "top": "context.WithCancel"}
    assert "most in context.WithCancel" in found.sentence


def test_at_the_limit_it_is_kept() -> None:
    assert judged(look(1, 9000), look(2, 9100), look(3, 9200)).verdict is Verdict.HELD


def test_where_too_little_was_seen_nobody_knows() -> None:
    for records in (
        (),
        (look(1, 9000), look(2, 9500)),  # one round tells nothing
        (look(1, 9000), look(2, 9500), look(3, 9900, process="2.00")),  # it was started anew
        (look(1, 9000), look(2, 9500, settled=False), look(3, 9900)),  # it was at work
        (look(1, 9000), look(2, 9500), look(3, 9900, operations=2999)),  # too little was done
        (look(1, 9000), look(2, 9500), look(3, 9900, operations=2000)),  # nothing was
    ):
        assert judged(*records).verdict is Verdict.UNKNOWN, records


def test_the_one_that_grows_is_told_though_nobody_knows_of_another() -> None:
    both = heap_does_not_grow([SCHEDULER, KUBELET], limit_kb_per_thousand=100, least=1000)
    grows = (look(1, 9000), look(2, 9500), look(3, 9900))
    assert judge(both, History.of_records(grows)).verdict is Verdict.VIOLATED
    rests = (look(1, 9000), look(2, 9000), look(3, 9000))
    assert judge(both, History.of_records(rests)).verdict is Verdict.UNKNOWN
    other = [look(n, 5000, component=SCHEDULER) for n in (1, 2, 3)]
    assert judge(both, History.of_records((*rests, *other))).verdict is Verdict.HELD
    assert "kube-scheduler" not in judge(both, History.of_records((*grows, *other))).sentence


def test_goroutines_are_judged_alike() -> None:
    few = (look(1, 9000, 300), look(2, 9000, 305), look(3, 9000, 310))
    many = (look(1, 9000, 300), look(2, 9000, 311), look(3, 9000, 322))
    assert judge(GOROUTINES, History.of_records(few)).verdict is Verdict.HELD
    found = judge(GOROUTINES, History.of_records(many))
    assert (found.verdict, found.reason, found.figures["top"]) == (Verdict.VIOLATED, "goroutines-grow", "watch")
    assert judge(GOROUTINES, History.of_records(many[:2])).verdict is Verdict.UNKNOWN


def span(lasted_s: float, read: int, stored: int, process: str = "1.00") -> QuietSpan:
    return QuietSpan(lasted_s, lasted_s, read, stored, 1.0, (process,))


def test_what_is_read_while_nobody_asks() -> None:
    before, after = span(20, 20_000, 10), span(95, 300_000, 6010)
    assert judge(READS, History.of_records((before, after))).verdict is Verdict.HELD
    more = judge(READS, History.of_records((before, span(95, 500_000, 6010))))
    assert (more.verdict, more.reason) == (Verdict.VIOLATED, "reads-grow")
    for records in (
        (after,),
        (before, span(95, 500_000, 4010)),  # too few were stored
        (before, span(94, 500_000, 6010)),  # too short for what is done once in a while
        (before, span(95, 500_000, 6010, "2.00")),  # another process has read its caches anew
    ):
        assert judge(READS, History.of_records(records)).verdict is Verdict.UNKNOWN, records
