"""Whether LISTs in pages come from the watch cache: every verdict, on literal histories."""

from chaos.judge.base import Verdict, judge
from chaos.record.history import History
from chaos.subjects.watch_cache.promises import pages_from_cache
from chaos.subjects.watch_cache.records import ListsCounted


def counted(at: float, *, pages: int, whole: int = 20, asked: int = 20) -> ListsCounted:
    return ListsCounted(at, at + 1, "podtemplates", asked, pages, whole)


def judged(*records: ListsCounted) -> tuple[Verdict, str]:
    found = judge(pages_from_cache("podtemplates"), History.of_records(records))
    return found.verdict, found.reason


def test_pages_that_come_from_the_cache_keep_the_promise() -> None:
    assert judged(counted(1, pages=20)) == (Verdict.HELD, "")


def test_pages_that_never_come_from_there_break_it() -> None:
    assert judged(counted(1, pages=0)) == (Verdict.VIOLATED, "from-etcd")


def test_a_cache_that_serves_nobody_or_some_only_says_nothing() -> None:
    for records in (
        (),
        (counted(1, pages=0, whole=0),),
        (counted(1, pages=0, whole=19),),
        (counted(1, pages=3),),
        (counted(1, pages=0, whole=0, asked=0),),
    ):
        assert judged(*records)[0] is Verdict.UNKNOWN, records


def test_what_was_counted_last_counts() -> None:
    assert judged(counted(1, pages=0, whole=0), counted(5, pages=20)) == (Verdict.HELD, "")
    assert judged(counted(1, pages=20), counted(5, pages=0)) == (Verdict.VIOLATED, "from-etcd")
