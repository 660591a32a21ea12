"""The user's command at work: it is waited for, and how it ended is recorded."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.basics.scrub import scrub_file
from chaos.record.evidence import Piece
from chaos.record.history import History
from chaos.subjects.upgrade.command import end, last_words
from chaos.subjects.upgrade.faults import UpgradeCommand, UpgradeCommandPlan
from chaos.subjects.upgrade.records import CommandEnded

OUTPUT = "upgrade-command.log"


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
