"""The answer to a watch, line by line: when each began to come, and whether it fell silent."""

from collections.abc import Iterator
from typing import Any

from urllib3.exceptions import ReadTimeoutError

from chaos.record.history import History

PIECE_BYTES = 1024**2
LINE_BYTES = 64 * 1024**2  # an API server takes objects of 3 MiB at most; a line without an end is not waited for


class BrokenError(Exception):
    """The stream broke; the text says why."""


class SilentError(BrokenError):
    """A watch that was open said nothing for longer than one may."""


class Lines:
    """Those of one watch after the other.

    `line_at`: when the watch that runs began, or its last line came. `part_since`: when the first byte of a line came
    of which the end is not there yet. Both in the history's seconds.
    """

    def __init__(self, history: History) -> None:
        self.line_at = 0.0
        self.part_since: float | None = None
        self._history = history

    def taken(self, now: float) -> None:
        """A line was read, or a watch began."""
        self.line_at, self.part_since = now, None

    def of(self, answer: Any) -> Iterator[tuple[float, bytes]]:
        """The complete lines of a watch, each with the moment at which its first byte came.

        A last line that was cut off is not handed out. Raises BrokenError where one has no end, SilentError.
        """
        rest, self.part_since = b"", None
        pieces = answer.stream(amt=PIECE_BYTES, decode_content=False)
        while True:
            try:
                if (source := answer._fp.fp) is not None:
                    source.peek(1)  # waits for a byte: urllib3 hands out a chunk when all of it is there
                came = self._history.now()
                began = came if self.part_since is None else self.part_since
                self.part_since = began
                piece = next(pieces, None)
            except (TimeoutError, ReadTimeoutError) as error:
                silent_for_s = self._history.now() - self.line_at
                raise SilentError(f"the watch was silent for {silent_for_s:.0f} s") from error
            if piece is None:
                self.part_since = None
                return
            *complete, rest = (rest + piece).split(b"\n")
            for line in filter(None, complete):
                yield began, line
                began = came
            self.part_since = None if not rest else came if complete else began
            if len(rest) > LINE_BYTES:
                raise BrokenError(f"the API server sent a line of more than {LINE_BYTES // 1024**2} MiB")


def all_lines(answer: Any) -> Iterator[bytes]:
    """The complete lines of an answer that comes at once."""
    rest = b""
    for piece in answer.stream(amt=PIECE_BYTES, decode_content=False):
        *complete, rest = (rest + piece).split(b"\n")
        yield from filter(None, complete)


def allow_silence(answer: Any, timeout_s: float) -> None:
    """Once the answer has begun, silence is allowed for longer than before the first byte."""
    connection = answer.connection
    if connection is not None and connection.sock is not None:
        connection.sock.settimeout(timeout_s)
