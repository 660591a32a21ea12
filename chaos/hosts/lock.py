"""One at a time, across processes: a file lock that the kernel drops when its holder dies."""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.basics.files import appended


@contextmanager
def locked(path: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `path` exclusively; `waiting` is called once where another process holds it.

    The file stays behind on purpose: removing it would let a third process lock another file of the same name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with appended(path) as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is not None:
                waiting()
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
