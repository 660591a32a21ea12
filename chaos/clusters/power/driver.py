"""What a driver is: it switches machines off and on, and says which they are. Also of somebody else's package."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

ENTRY_POINTS = "kube_ordeal.power"  # the group by which a package has a driver: its name there is what users write


class PowerDriver(Protocol):
    """Switches the machines that are nodes, by the nodes' names. Each call ends by itself, within half a minute.

    A driver is made anew wherever it is needed, also by `kube-ordeal undo` in another process: what it knows is in what
    it was told. It is called from several threads. What can't be done is an OrdealError of one sentence.
    """

    def off(self, node: str) -> None:
        """As a cut of the power: nothing is shut down. Harmless where it is off. May return before it is off."""
        ...

    def on(self, node: str) -> None:
        """Harmless where it runs, or starts. May return before it runs."""
        ...

    def state(self, node: str) -> str:
        """RUNNING or OFF (chaos.clusters.abilities). It is asked each second while a node is off, so it has to be quick
        and cheap. Whatever is neither is an OrdealError.
        """
        ...


# Makes a driver of what the user wrote after its name, and of the folder in which that was. Raises OrdealError for what
# can't be meant. What the user wrote is kept in the journal: it may name where a secret is, and must not be one.
Maker = Callable[[str, Path], PowerDriver]
