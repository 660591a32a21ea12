"""What makes replays of several runs the same replay."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """Which replay: the same incident, on the same kind of cluster, hardened (`control` is "") or in that control."""

    incident: str
    replay: str
    cluster: str
    control: str

    def __str__(self) -> str:
        variant = f" ({self.replay})" if self.replay else ""
        return f"{self.incident}{variant} on {self.cluster}{f', control {self.control}' if self.control else ''}"
