"""pytest's side of what a run tells other systems: it hears of each replay's end, and of the run's.

The process that was started first does it, and none that replays in another one's stead.
"""

import os
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.exports.exports import Exports, exports_of
from chaos.plugin import run_id, worker_input
from chaos.run.mark import is_replay
from chaos.run.options import options_of
from chaos.session import telling

EXPORTS = pytest.StashKey[Exports]()
NOT_TOLD = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what can't be had before anything is done."""
    if worker_input(config, "workerid"):
        return
    asked = options_of(config)
    try:
        exports = exports_of(asked, os.environ)
    except OrdealError as error:
        raise pytest.UsageError(str(error)) from error
    if exports and not config.option.collectonly:
        config.stash[EXPORTS] = exports
        if exports.hears_replays:
            config.pluginmanager.register(Heard(exports, asked.results / run_id(config)))


class Heard:
    """The hook that needs the run's state."""

    def __init__(self, exports: Exports, directory: Path) -> None:
        self._exports, self._directory = exports, directory

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is over, and so is what it had to clear away; side by side, too.

        Only what looks like a replay is one: others come by the thousand, and each would have the results read.
        """
        if is_replay(nodeid) and (self._directory / "results.json").is_file():
            self._exports.replay_ended(self._directory, nodeid)


def end(config: pytest.Config, directory: Path) -> None:
    """The results of the run are whole: tell what is left to tell."""
    if EXPORTS in config.stash:
        config.stash[NOT_TOLD] = config.stash[EXPORTS].run_ended(directory)


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What could not be told, below all that the run itself says."""
    for each in config.stash.get(NOT_TOLD, []):
        telling.write(terminalreporter, each)
