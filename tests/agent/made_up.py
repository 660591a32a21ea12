"""A fault that a node can take back, and an agent that is killed while it has some of it armed."""

import signal
import sys
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from chaos.agent.armed import Armory
from chaos.clusters.agent import protocol
from chaos.harm.base import fault

LONG_S = 60.0  # to end a hang
WITHIN_S = 30.0  # by a clock that stands until a test turns it


class Folder(msgspec.Struct, frozen=True):
    """Where the harm is, and its number."""

    folder: str
    number: int


class InFolder:
    """The harm N is there as long as the file "undone" in its folder has no line N.

    Other files there stand in its way. "broken": it is not undone, for the reason that the file holds; "unseen": that
    it is undone is not seen; "slow", a pipe: it is undone when the pipe's writer has ended; "api": the last of it is
    for the API server to undo.
    """

    kind: ClassVar[str] = "made-up-in-folder"
    needs: ClassVar[tuple[type, ...]] = ()

    def plan(self, _: object) -> Folder:
        raise NotImplementedError

    def apply(self, _: object, saved: Folder) -> None:
        raise NotImplementedError

    def landed(self, _: object, saved: Folder) -> bool:
        raise NotImplementedError

    @staticmethod
    def lasts(_: object, saved: Folder) -> bool | None:
        return None

    @staticmethod
    def undo(cluster: Any, saved: Folder) -> None:
        folder = Path(saved.folder)
        if (folder / "broken").exists():
            raise OSError((folder / "broken").read_text())
        with (folder / "undone").open("a") as file:
            file.write(f"{saved.number}\n")
        if (folder / "slow").exists():
            (folder / "slow").read_bytes()
        if (folder / "api").exists():
            cluster.api()

    @staticmethod
    def undone(_: object, saved: Folder) -> bool:
        return saved.number in undone_in(Path(saved.folder)) and not (Path(saved.folder) / "unseen").exists()


def undone_in(folder: Path) -> list[int]:
    """The numbers of what was undone there, in order."""
    path = folder / "undone"
    return [int(line) for line in path.read_text().splitlines()] if path.exists() else []


def harm(folder: Path, number: int, within_s: float = WITHIN_S) -> protocol.Arm:
    """What a run asks before it does that harm."""
    return protocol.Arm(InFolder.kind, msgspec.json.encode(Folder(str(folder), number)), within_s)


if __name__ == "__main__":
    fault(InFolder)
    armory = Armory("w1", Path(sys.argv[1]), lambda _: None)
    for each in (1, 2):
        print(armory.arm(harm(Path(sys.argv[1]), each)), flush=True)
    signal.pause()
