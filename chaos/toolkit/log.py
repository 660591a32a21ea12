"""Chaos Toolkit's own log: our lines stand among its, and nothing of others acts in it."""

import logging
import os

from chaos.basics.files import PRIVATE
from chaos.basics.scrub import scrub
from chaos.basics.visible import line, lines

logger = logging.getLogger("chaostoolkit")  # so that our lines stand among Chaos Toolkit's own


def say(told: str) -> None:
    """A line among them, whatever is in it."""
    logger.info("%s", line(told))


def shown(record: logging.LogRecord) -> bool:
    """A filter for Chaos Toolkit's log: what clusters and programs said is visible in it, without secrets.

    Chaos Toolkit itself writes there what activities raise, with tracebacks.
    """
    record.msg, record.args = lines(scrub(record.getMessage())), ()
    if record.exc_info and not record.exc_text:
        record.exc_text = lines(scrub(logging.Formatter().formatException(record.exc_info)))
    return True


logger.addFilter(shown)


def close_log() -> None:
    """Let only their owner read the files of that log: Chaos Toolkit made them before anything of ours was there."""
    for handler in logger.handlers:
        if isinstance(handler, logging.FileHandler) and handler.stream is not None:
            os.fchmod(handler.stream.fileno(), PRIVATE)
