"""The user's command at work: it is waited for, and how it ended is recorded."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.basics.scrub import scrub_file
from chaos.errors import OrdealError
from chaos.record.evidence import Piece
from chaos.record.history import MOST_RECORDS, History
from chaos.record.probing import INTERVAL_S
from chaos.subjects.upgrade.command import end, last_words
from chaos.subjects.upgrade.faults import UpgradeCommand, UpgradeCommandPlan
from chaos.subjects.upgrade.records import CommandEnded

OUTPUT, WITHIN = "upgrade-command.log", "--ordeal-upgrade-within"
MOST_PROBES = MOST_RECORDS // 2  # all of a recording is in memory


def require_room(within_s: float, nodes: int, services: int) -> None:
    """Raise OrdealError where so many nodes would ask so many Services more often than a recording holds."""
    probes = within_s / INTERVAL_S * nodes * services
    if probes > MOST_PROBES:
        raise OrdealError(
            f"{nodes} workers asking {services} Services for {within_s / 3600:g} h send more probes than are judged; "
            f"give a shorter {WITHIN}, watch fewer Services, or let the guard allow fewer nodes: workers times "
            f"Services may be {MOST_PROBES * INTERVAL_S / within_s:.0f}"
        )


def run_to_its_end(
    upgrade: UpgradeCommand, saved: UpgradeCommandPlan, history: History, within_s: float
) -> CommandEnded:
    """Wait until it has ended, at most `within_s` seconds; then it is ended."""
    code = upgrade.running.wait(within_s)
    if code is None:
        end(saved.mark)
    ended = CommandEnded(history.now(), saved.command, _words(code, within_s, Path(saved.output)))
    history.add(ended)
    return ended


def _words(code: int | None, within_s: float, output: Path) -> str:
    if code == 0:
        return ""
    how = f"exit {code}" if code is not None else f"not over after {within_s:g} s, and ended"
    if code is not None and code < 0:
        how = f"ended by {signal.Signals(-code).name}"
    return f"{how}: {last_words(output) or 'it said nothing'}"


@contextmanager
def kept(output: Path, evidence: list[Piece]) -> Iterator[None]:
    """What the command writes within the block is evidence of the replay, however the block ends."""
    try:
        yield
    finally:
        if output.exists():
            scrub_file(output)
            evidence.append(Piece(output.name, output))
