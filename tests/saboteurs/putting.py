"""How a saboteur takes the place of a part, and says that it did something there."""

import os
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from typing import Any

ACTS_IN = "KUBE_ORDEAL_SABOTAGE"  # the file to which each act adds a line: who it was, a tab, the test


def put(owner: Any, name: str, value: object) -> None:
    """In the place of a class's, or a module's, own."""
    setattr(owner, name, value)


def later(after_s: float, call: Callable[..., object], *given: object) -> None:
    """Call it so many seconds later, from a thread that nobody waits for."""
    timer = Timer(after_s, call, given)
    timer.daemon = True
    timer.start()


def act(who: str) -> None:
    """Say that this saboteur does something now: without it nobody knows whether a replay that held was sabotaged."""
    if path := os.environ.get(ACTS_IN):
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
        with Path(path).open("a") as file:
            file.write(f"{who}\t{test}\n")


def acts_in(path: Path) -> set[tuple[str, str]]:
    """Each saboteur that did something, with the test in which it did."""
    if not path.is_file():
        return set()
    return {(who, test) for who, _, test in (line.partition("\t") for line in path.read_text().splitlines())}
