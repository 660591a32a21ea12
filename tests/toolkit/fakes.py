"""The one boundary that is faked here: a cluster of two nodes with a power switch; and steps for experiments on it."""

import logging
import os
import signal
import threading
from collections.abc import Mapping
from pathlib import Path

from kubernetes.client import ApiClient

from chaos.clusters.abilities import OFF, RUNNING
from chaos.clusters.base import EXISTING, ClusterRef, Images, Node
from chaos.clusters.identity import Identity
from chaos.clusters.shape import Shape
from chaos.hosts.command import CommandError
from chaos.judge.base import Invariant, held, violated
from chaos.record.history import History
from chaos.toolkit.session import SESSION
from tests.canaries import CANARY, SAYINGS
from tests.nasty import NASTY

SAID = "\n".join(SAYINGS)


class FakeCluster:
    """Its power switches can be stuck: the fault is then not done, or not undone."""

    def __init__(self) -> None:
        self.off: set[str] = set()
        self.switched_off_ever = 0
        self.stuck_on = False
        self.stuck_off: set[str] = set()
        self.ref = ClusterRef(EXISTING, "fake", str(Path("kubeconfig").absolute()), "a", Identity("fake"))
        self.shape, self.images, self.kubernetes = Shape(), Images("busybox"), "1.34.4"

    def api(self) -> ApiClient:
        raise AssertionError("no API here")

    def nodes(self) -> tuple[Node, ...]:
        return tuple(Node(name, name == "cp", "True", "", "", ()) for name in ("cp", "w1"))

    def identity(self) -> Identity:
        return Identity("fake")

    def facts(self) -> Mapping[str, str]:
        return {"provider": "fake"}

    def delete(self) -> None:
        raise AssertionError("an existing cluster must not be deleted")

    def power_state(self, node: str) -> str:
        return OFF if node in self.off else RUNNING

    def power_off(self, node: str) -> None:
        if not self.stuck_on:
            self.off.add(node)
            self.switched_off_ever += 1

    def power_on(self, node: str) -> None:
        if node not in self.stuck_off:
            self.off.discard(node)


# --- activities of the experiments in test_runs.py


def find_held(name: str = "kept") -> str:
    """A finding that held, for the verdict."""
    SESSION.lab.expect(History(), Invariant(name, lambda _: held("it was kept")))
    return "held"


def find_violated(name: str = "kept", reason: str = "broken") -> str:
    """A finding that was violated, for the verdict."""
    SESSION.lab.expect(History(), Invariant(name, lambda _: violated("it was broken", reason=reason)))
    return "violated"


def remember() -> None:
    """A recording that is over."""
    assert SESSION._open is not None
    SESSION._open.history = History()


def fail() -> None:
    """An activity of somebody else's that fails."""
    raise RuntimeError("somebody else's action failed")


def fail_saying_it() -> None:
    """An activity that fails with what a program and a cluster have said, and tells it, too."""
    logging.getLogger("chaostoolkit").warning("it said %s", f"{SAID}{NASTY}")
    raise CommandError(["curl", "--proxy", f"http://user:{CANARY}@proxy", f"--token={CANARY}"], "exit code 1", SAID)


def say_it() -> dict[str, str]:
    """An activity whose output is in the journal."""
    return {"said": SAID, "password": CANARY, "nasty": NASTY}


def end_soon(number: int = int(signal.SIGTERM)) -> None:
    """Send this process a signal in a moment: in the middle of the next activity."""
    threading.Timer(0.3, lambda: os.kill(os.getpid(), number)).start()
