"""The kinds of trouble between a client and an API server: how each begins, and how it ends."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.integration.hostile.way import TOKEN, HostileWay

ALL = "/api/v1/(pods|nodes|events|namespaces)|/apis/"
HUGE_BYTES = 20_000_000


@dataclass(frozen=True)
class Trouble:
    """`does` brings it about, on the stack that ends it."""

    name: str
    does: Callable[[HostileWay, ExitStack], object]


def _toxic(kind: str, **attributes: int) -> Callable[[HostileWay, ExitStack], object]:
    return lambda way, stack: stack.enter_context(way.toxic(kind, **attributes))


def _answers(*, cut: bool = False, **trouble: object) -> Callable[[HostileWay, ExitStack], object]:
    def does(way: HostileWay, stack: ExitStack) -> None:
        stack.callback(way.answers)
        way.answers(**trouble)
        if cut:  # so that there are new requests, which meet it
            way.cut()

    return does


def _expired(way: HostileWay, stack: ExitStack) -> None:
    stack.callback(lambda: way.token("second"))
    way.answers(kind="expired", token="second")
    way.cut()


TROUBLES = (
    Trouble("cut in the middle of an event", _toxic("limit_data", bytes=900)),
    Trouble("a few bytes at a time", _toxic("slicer", average_size=1, size_variation=0, delay=3000)),
    Trouble("half-closed", _toxic("timeout", timeout=0)),
    Trouble("reset", _toxic("reset_peer", timeout=0)),
    Trouble("slow", _toxic("latency", latency=2500, jitter=500)),
    Trouble("410 for each watch", _answers(kind="status", code=410, only="watches", cut=True)),
    Trouble("410 as an event", _answers(kind="events", shape="error-410")),
    Trouble("429 with Retry-After", _answers(kind="status", code=429, headers={"Retry-After": "2"}, cut=True)),
    Trouble("500", _answers(kind="status", code=500, cut=True)),
    Trouble("503 of a gateway, in HTML", _answers(kind="answers", shape="html", path=ALL, cut=True)),
    Trouble("token expired", _expired),
    Trouble("events: a string", _answers(kind="events", shape="string")),
    Trouble("events: metadata null", _answers(kind="events", shape="null-metadata")),
    Trouble("events: a list", _answers(kind="events", shape="event-list")),
    Trouble("events: a status", _answers(kind="events", shape="status")),
    Trouble("events: a name that is a number", _answers(kind="events", shape="name-number")),
    Trouble("events: cut to halves", _answers(kind="events", shape="half")),
    Trouble("events: 20 MB", _answers(kind="events", shape="huge", bytes=HUGE_BYTES)),
    Trouble("answers: a string", _answers(kind="answers", shape="string", path=ALL, cut=True)),
    Trouble("answers: null", _answers(kind="answers", shape="null", path=ALL, cut=True)),
    Trouble("answers: a list", _answers(kind="answers", shape="list", path=ALL, cut=True)),
    Trouble("answers: a status", _answers(kind="answers", shape="status", path=ALL, cut=True)),
    Trouble("answers: metadata null", _answers(kind="answers", shape="null-metadata", path=ALL, cut=True)),
    Trouble("answers: items null", _answers(kind="answers", shape="items-null", path=ALL, cut=True)),
    Trouble("answers: status a string", _answers(kind="answers", shape="status-string", path=ALL, cut=True)),
    Trouble("answers: half of it", _answers(kind="answers", shape="half", path=ALL, cut=True)),
    Trouble("answers: 20 MB", _answers(kind="answers", shape="huge", path=ALL, bytes=HUGE_BYTES, cut=True)),
)


@contextmanager
def troubled(trouble: Trouble, way: HostileWay) -> Iterator[None]:
    """The trouble, for as long as the block lasts; then the way is as good as ever."""
    with ExitStack() as stack:
        trouble.does(way, stack)
        yield


def restored(way: HostileWay) -> None:
    """The way as it was at first, whatever token there is now."""
    way.answers()
    way.token(TOKEN)
