"""The outbox: one after the other, beside the run, and never longer than it is given."""

import threading
from collections.abc import Callable

from chaos.errors import OrdealError
from chaos.exports.outbox import UNANSWERED, Outbox, sentence


def failing(error: BaseException) -> Callable[[], None]:
    def send() -> None:
        raise error

    return send


def test_all_is_done_in_its_order_by_a_thread_of_its_own() -> None:
    done: list[tuple[int, str]] = []
    outbox = Outbox()
    for n in range(3):
        outbox.put(lambda n=n: done.append((n, threading.current_thread().name)))  # type: ignore[misc]
    assert outbox.close(30.0) == {}
    assert [n for n, _ in done] == [0, 1, 2]
    assert threading.current_thread().name not in {name for _, name in done}


def test_what_comes_to_nothing_is_counted_and_the_rest_is_done() -> None:
    outbox, done = Outbox(), list[int]()
    for each in (failing(OrdealError("it refused")), failing(OrdealError("it refused")), failing(ZeroDivisionError())):
        outbox.put(each)
    outbox.put(lambda: done.append(1))
    assert outbox.close(30.0) == {"it refused": 2, "it failed (ZeroDivisionError)": 1}
    assert done == [1]


def test_what_hangs_is_left() -> None:
    outbox, let_go = Outbox(), threading.Event()
    outbox.put(failing(OrdealError("it refused")))
    outbox.put(lambda: (let_go.wait(60), None)[1])
    outbox.put(lambda: None)
    try:
        assert outbox.close(0.2) == {"it refused": 1, UNANSWERED: 2}
    finally:
        let_go.set()


def test_nothing_starts_no_thread() -> None:
    before = threading.active_count()
    assert Outbox().close(0.0) == {}
    assert threading.active_count() == before


def test_a_sentence_names_the_reasons_by_how_often_they_were() -> None:
    assert sentence("x", {}) == ""
    assert sentence("3 were not sent", {"refused": 3}) == "3 were not sent: refused"
    assert sentence("x", {"a": 1, "b": 2, "c": 1, "d": 1}) == "x: b (2 times); a; c; and other reasons"
