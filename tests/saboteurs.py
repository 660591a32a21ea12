"""Saboteurs: what replays are made of does not do its work. No replay may end as held for it.

pytest -p tests.saboteurs suites/ ..., with the saboteur's name in KUBE_ORDEAL_SABOTEUR. Each is put in the place of a
framework's part when pytest starts, in each process of a run side by side; the replays know nothing of it.
"""

import os
from collections.abc import Callable, Mapping
from threading import Timer
from typing import Any

from chaos.harm import load_all
from chaos.harm.base import registered

NAMED_BY = "KUBE_ORDEAL_SABOTEUR"
AFTER_S = 3.0


def fault_does_nothing() -> None:
    """Its call returns, and nothing has happened."""
    for cls in registered().values():
        _put(cls, "apply", lambda *_: None)


def fault_lapses() -> None:
    """Somebody else takes the harm back soon after it was done."""

    def lapsing(cls: Any, landed: Callable[..., bool]) -> Callable[..., bool]:
        def landed_and_taken_back(self: Any, cluster: Any, saved: Any) -> bool:
            if landed(self, cluster, saved):
                timer = Timer(AFTER_S, cls.undo, (cluster, saved))
                timer.daemon = True
                timer.start()
                return True
            return False

        return landed_and_taken_back

    for cls in registered().values():
        _put(cls, "landed", lapsing(cls, cls.landed))


SABOTEURS: Mapping[str, Callable[[], None]] = {
    each.__name__.replace("_", "-"): each for each in (fault_does_nothing, fault_lapses)
}


def _put(cls: Any, name: str, value: object) -> None:
    setattr(cls, name, value)


def pytest_configure() -> None:
    """Before anything is collected."""
    load_all()
    SABOTEURS[os.environ[NAMED_BY]]()
