"""What the machine is to be got ready for."""

from enum import StrEnum


class Target(StrEnum):
    """Which kind of cluster; `all` is both."""

    KIND = "kind"
    SIMULATED = "simulated"
    ALL = "all"

    @property
    def kind(self) -> bool:
        """Whether kind clusters are wanted."""
        return self is not Target.SIMULATED

    @property
    def simulated(self) -> bool:
        """Whether simulated clusters are wanted."""
        return self is not Target.KIND
