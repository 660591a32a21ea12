"""The cgroup of a container that an engine is to be started in, cleared of processes for that, and put back.

With cgroup v2 a cgroup that has processes can't hand its controllers on to others, and an engine's containers lie below
it. The root of a machine is no such cgroup. Source: the kernel's Documentation/admin-guide/cgroup-v2.rst, "No Internal
Process Constraint"; only a cgroup that is not the machine's root has the file cgroup.type.
"""

from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
ASIDE = "kube-ordeal"
ROUNDS = 5  # processes that start while others are moved are moved in the next one


def in_the_way(root: Path = ROOT) -> bool:
    """Whether this is a container's cgroup, and processes are in it."""
    return (root / "cgroup.type").is_file() and bool(_processes(root))


def move_aside(root: Path = ROOT) -> None:
    """Move the processes into a cgroup of their own below. Raises OSError where that may not be done."""
    (root / ASIDE).mkdir(exist_ok=True)
    _move(root, root / ASIDE)


def move_back(root: Path = ROOT) -> None:
    """Put the processes back to where they were. Raises OSError as `move_aside` does."""
    if not (root / ASIDE).is_dir():
        return
    handed_on = (root / "cgroup.subtree_control").read_text().split()
    (root / "cgroup.subtree_control").write_text(" ".join(f"-{name}" for name in handed_on))
    _move(root / ASIDE, root)
    (root / ASIDE).rmdir()


def _move(source: Path, target: Path) -> None:
    for _ in range(ROUNDS):
        for pid in _processes(source):
            with suppress(ProcessLookupError):  # it has ended
                (target / "cgroup.procs").write_text(pid)


def _processes(cgroup: Path) -> list[str]:
    return (cgroup / "cgroup.procs").read_text().split()
