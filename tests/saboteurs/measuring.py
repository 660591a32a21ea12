"""Saboteurs of what is measured: probes, samples, looks at harm, and the clock that gives all of them their times."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import msgspec

from chaos.harm.lasting import _Looks
from chaos.record.history import History
from chaos.record.informer import ConfigMapInformer
from chaos.record.probing import _Prober
from chaos.record.sampler import Sampler
from chaos.run.lab import Lab
from tests.saboteurs.putting import act, later, put

SOUND_LOOKS = 3
AFTER_S = 2.0
FORWARD_S, BACK_S = 30.0, -2.0


def prober_always_answers() -> None:
    """Each probe is told as answered, whatever became of it."""
    take = _Prober._take

    def answered(self: _Prober, line: bytes) -> None:
        said = msgspec.json.decode(line)
        act("prober-always-answers")
        take(self, msgspec.json.encode({**said, "ok": True, "error": ""}))

    put(_Prober, "_take", answered)


def sampler_stops() -> None:
    """A sampler looks three times, and never again. An informer believes for ever what it was told first."""
    look, looks = Sampler.look, dict[int, Iterator[int]]()

    def stopped(self: Sampler) -> None:
        if next(looks.setdefault(id(self), count())) < SOUND_LOOKS:
            look(self)
        else:
            act("sampler-stops")

    def deaf(self: ConfigMapInformer, event: dict[str, Any]) -> None:
        act("sampler-stops")
        self._position = str(event["object"]["metadata"]["resourceVersion"])

    put(Sampler, "look", stopped)
    put(ConfigMapInformer, "_take", deaf)


def sampler_repeats() -> None:
    """From its third look on a sampler writes down what it saw of each before, with the new look's time."""
    look, add = Sampler.look, History.add
    looks, here = dict[int, Iterator[int]](), threading.local()
    seen: dict[tuple[int, str, str, str], Any] = {}

    def repeating(self: Sampler) -> None:
        here.sampler, here.repeats = id(self), next(looks.setdefault(id(self), count())) >= SOUND_LOOKS
        try:
            look(self)
        finally:
            here.sampler = None

    def add_repeated(self: History, record: Any) -> None:
        sampler = getattr(here, "sampler", None)
        if sampler is not None and record.kind != "blind":
            key = (sampler, record.kind, getattr(record, "name", ""), record.object)
            before = seen.setdefault(key, record)
            if here.repeats:
                act("sampler-repeats")
                record = msgspec.structs.replace(before, at=record.at)
        add(self, record)

    put(Sampler, "look", repeating)
    put(History, "add", add_repeated)


def harm_looks_stop() -> None:
    """Nobody looks whether harm lasts, but for the once when it has landed."""
    put(_Looks, "_look", lambda _: act("harm-looks-stop"))


def clock_jumps_forward() -> None:
    """Soon after harm has landed the monotonic clock is half a minute further."""
    _jump(FORWARD_S, "clock-jumps-forward")


def clock_jumps_back() -> None:
    """Soon after harm has landed the monotonic clock goes back."""
    _jump(BACK_S, "clock-jumps-back")


def _jump(by_s: float, who: str) -> None:
    """For good, and once in each recording."""
    inject, now = Lab.inject, time.monotonic
    off: list[float] = []
    jumped: set[int] = set()

    def jump() -> None:
        act(who)
        off.append(by_s)

    @contextmanager
    def injected(self: Lab, *given: Any) -> Iterator[Any]:
        with inject(self, *given) as saved:
            if id(self) not in jumped:
                jumped.add(id(self))
                later(AFTER_S, jump)
            yield saved

    clock: Callable[[], float] = lambda: now() + sum(off)  # noqa: E731
    put(time, "monotonic", clock)
    put(Lab, "inject", injected)
