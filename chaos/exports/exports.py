"""What a run tells other systems, where its options name some: a trace after each replay, its metrics at the end.

Nothing of it is in the way of a replay. What has to be read is read between two of them, what is sent is sent by a
thread of its own, and what comes to nothing is a sentence at the end of the run, which changes nothing else.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from chaos.basics.scrub import scrub
from chaos.basics.visible import line
from chaos.exports.receivers import is_url, of_metrics, of_traces
from chaos.hosts import extras
from chaos.results.saved import SavedRun, load
from chaos.run.options import Options

WITHIN_S = 15.0  # so long the end of a run waits for receivers


class Export(Protocol):
    """One thing that is told to one other system. Neither method raises, whatever happens.

    `hears_replays`: it wants to be told of each replay when it is over, and not only of the run.
    """

    hears_replays: bool

    def replay_ended(self, run: SavedRun, test: str) -> None:
        """A replay is over, and the results have its verdict."""

    def run_ended(self, run: SavedRun, within_s: float) -> str:
        """The run is over; wait at most so long. Returns what came to nothing, as a sentence, else nothing.

        Of a replay that was interrupted, or whose results could not be read then, nothing was told before.
        """


class Exports:
    """All that a run tells: nothing, where no option asks for something."""

    def __init__(self, *exports: Export) -> None:
        self._exports = exports
        self.hears_replays = any(each.hears_replays for each in exports)  # reading the results takes its time

    def __bool__(self) -> bool:
        return bool(self._exports)

    def replay_ended(self, directory: Path, test: str) -> None:
        """A replay is over whose results are in that run's folder. Nothing is raised."""
        if not self.hears_replays:
            return
        with suppress(Exception):  # the end of the run tells what could not be told now
            run = load(directory.parent, directory.name)
            for each in self._exports:
                with suppress(Exception):  # it says at the end what it could not tell
                    each.replay_ended(run, test)

    def run_ended(self, directory: Path) -> list[str]:
        """The run is over: tell the rest, and wait WITHIN_S at most. Returns a sentence for all that came to nothing.

        Nothing is raised.
        """
        if not self._exports:
            return []
        until = time.monotonic() + WITHIN_S
        try:
            run = load(directory.parent, directory.name)
            said = [_told(each, run, until - time.monotonic()) for each in self._exports]
        except Exception as error:  # noqa: BLE001  (no export may be the end of a run)
            said = [f"what others are told of the run is not whole: {error}"]
        return [line(scrub(each)) for each in said if each]


def exports_of(asked: Options, environ: Mapping[str, str]) -> Exports:
    """What the options ask for. Raises OrdealError where it can't be had, before anything is done.

    What it takes is imported here, so that no import falls into a recording.
    """
    made: list[Export] = []
    if asked.metrics:
        gateway = of_metrics(asked.metrics) if is_url(asked.metrics) else None
        extras.need(extras.METRICS)
        from chaos.exports import metrics  # noqa: PLC0415

        made.append(metrics.Pushgateway(gateway) if gateway else metrics.TextFile(Path(asked.metrics)))
    if asked.otlp:  # the last one that is waited for: meanwhile its thread goes on
        receiver = of_traces(asked.otlp, environ)
        extras.need(extras.OTEL)
        from chaos.exports import traces  # noqa: PLC0415

        made.append(traces.Traces(receiver))
    return Exports(*made)


def _told(export: Export, run: SavedRun, within_s: float) -> str:
    try:
        return export.run_ended(run, max(0.0, within_s))
    except Exception as error:  # noqa: BLE001  (no export may be the end of a run)
        return f"an export failed ({type(error).__name__})"
