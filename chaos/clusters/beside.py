"""An ability: that a program of this machine serves its API server, and ends with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable


class ServingKeys(Protocol):
    """Files, as PEM: the authority that the API server trusts, a certificate of loopback's by it, its key."""

    @property
    def authority(self) -> Path:
        """The authority's certificate."""
        ...

    @property
    def certificate(self) -> Path:
        """One for 127.0.0.1."""
        ...

    @property
    def key(self) -> Path:
        """The key to that."""
        ...


class Beside(Protocol):
    """Processes of this machine by their names, which end with the cluster at the latest."""

    @property
    def keys(self) -> ServingKeys:
        """What they may serve with."""
        ...

    def free_port(self) -> int:
        """A port on 127.0.0.1 that nobody has, and the kernel gives to no outgoing connection. Raises OrdealError."""
        ...

    def start(self, name: str, argv: Sequence[str]) -> None:
        """Start one. Raises CommandError, OrdealError."""
        ...

    def kill(self, *names: str) -> None:
        """End those of them that run. Raises OrdealError where one stays."""
        ...

    def runs(self, name: str) -> bool:
        """What the kernel says."""
        ...


@runtime_checkable
class ServesBeside(Protocol):
    """The API server is a process of this machine, so that programs beside it can be its webhooks."""

    def beside(self) -> Beside:
        """Those of this cluster."""
        ...
