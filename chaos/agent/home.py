"""Where an agent lives on a node: its folder there, its unit, and how both come and go.

The folder has the agent's root file system, its key, what it was told, and its journal. It is the same path for the
agent itself, whose root it has elsewhere, and for the node.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import msgspec

from chaos.agent import programs
from chaos.clusters.agent import protocol
from chaos.errors import OrdealError
from chaos.hosts.command import CommandError

FOLDERS, MEMORY = Path("/var/lib/kube-ordeal"), Path("/run")  # on the node
ROOT, CONFIG, WHOLE = "root", "agent.json", "whole"
MOST_TOLD = 20  # processes that are still there: a container's last message is short
LEFT = 7  # the exit code of an agent that has left: its unit is not started again
UNITS = "/etc/systemd/system"
# Root's alone, so that whoever takes it away again needs no right over files of others.
COPY = 'tar --one-file-system -C / -cf - "$@" . | tar --no-same-owner -C "$0" -xf -'
# Of the image: the node has its own.
SKIPPED = ("dev", "proc", "sys", "run", "tmp", "host", "var/lib/kube-ordeal")


@dataclass(frozen=True, slots=True)
class Home:
    """One run's agent on one node. `runner`: the certificate of the run; `capabilities`: its unit's (Agents)."""

    run: str
    node: str
    address: str
    port: int
    runner: str
    capabilities: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Its folder."""
        return FOLDERS / self.run

    @property
    def unit(self) -> str:
        """The name of its unit."""
        return f"kube-ordeal-agent-{self.run}.service"

    @property
    def memory(self) -> Path:
        """A folder of it in memory, which a reboot empties."""
        return MEMORY / f"kube-ordeal-{self.run}"

    @classmethod
    def read(cls, folder: Path) -> "Home":
        """Raises OrdealError where it was never written whole."""
        path = folder / CONFIG
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError) as error:
            raise OrdealError(f"{path} does not say what the agent is to be: {error}") from error

    def unit_text(self) -> str:
        """It comes back when it is killed, and after a reboot; and it is none of the processes of the agent's pod.

        What it runs has its capabilities and no more, whatever that is. Nothing keeps it from files: it enters the
        node's own namespaces.
        """
        root = self.folder / ROOT
        bound = f"CapabilityBoundingSet={' '.join(self.capabilities)}\nNoNewPrivileges=yes\n"
        return (
            "[Unit]\n"
            f"Description=kube-ordeal: takes back on this node what the run {self.run} does not\n"
            "DefaultDependencies=no\nAfter=local-fs.target\nStartLimitIntervalSec=0\n\n"
            "[Service]\n"
            f"ExecStart=/usr/bin/python3 -m chaos.agent serve {self.folder}\n"
            f"RootDirectory={root}\nMountAPIVFS=yes\nBindPaths={self.folder} /run\n"
            f"Environment=XDG_STATE_HOME={self.folder} HOME=/root PYTHONPATH=/opt/kube-ordeal "
            "PYTHONDONTWRITEBYTECODE=1\n"
            f"KillMode=control-group\nRestart=always\nRestartPreventExitStatus={LEFT}\nRestartSec=0.2\nOOMScoreAdjust=-999\nLimitNOFILE=65536\n"
            f"TasksMax=infinity\n{bound if self.capabilities else ''}\n"
            "[Install]\nWantedBy=multi-user.target\n"
        )


def copy_root(home: Home, mounted: Path) -> None:
    """Put the agent's image onto the node's disk, unless it is there whole. `mounted`: where this container has the
    node's folder FOLDERS. Raises OSError, CommandError.
    """
    folder = mounted / home.run
    if (folder / WHOLE).exists():
        return
    shutil.rmtree(folder / ROOT, ignore_errors=True)
    (folder / ROOT).mkdir(parents=True)
    excluded = [f"--exclude=./{each}/*" for each in SKIPPED]
    copied = programs.execute(
        protocol.Execute(
            ("sh", "-ec", COPY, str(folder / ROOT), *excluded),
            inside=False,
            timeout_s=300,
        )
    )
    if copied.code != 0:
        raise CommandError(["tar"], f"exited with {copied.code}", copied.err.decode(errors="replace"))
    (folder / ROOT / home.folder.relative_to("/")).mkdir(parents=True, exist_ok=True)
    os.sync()  # before it is called whole: after a cut of the power the agent has to be there
    (folder / WHOLE).touch()


def start(home: Home) -> None:
    """Let the node's systemd run it, now and after each boot. Raises OrdealError where there is none, CommandError."""
    if not on_node("command -v systemctl >/dev/null && [ -d /run/systemd/system ]", check=False):
        raise OrdealError(
            f"node {home.node} has no systemd, which keeps the agent alive: such nodes can't be harmed yet"
        )
    script = f'cat > "{UNITS}/{home.unit}"; systemctl daemon-reload; systemctl enable --now "{home.unit}"'
    on_node(script, stdin=home.unit_text())
    os.sync()


def take_away(home: Home) -> None:
    """Take the agent's unit and folder off the node; the process that calls it ends right after."""
    rest = f'rm -f "{UNITS}/{home.unit}"; systemctl daemon-reload'
    on_node(
        f'systemctl disable "{home.unit}"; {rest}; rm -rf "{home.folder}" "{home.memory}"; rmdir "{FOLDERS}"',
        check=False,
    )


def left_behind(run: str) -> tuple[str, ...]:
    """What of a run's agent is on the node yet: its unit, its folders, its processes. Raises OrdealError where nobody
    can look. For a container that sees the node's processes.
    """
    gone = Home(run, "", "", 0, "")
    paths = (f"{UNITS}/{gone.unit}", str(gone.folder), str(gone.memory))
    looks = "; ".join(f'[ ! -e "{path}" ] || echo "{path}"' for path in paths)
    looks += f'; systemctl is-active --quiet "{gone.unit}" && echo "the unit {gone.unit}"; true'
    said = programs.execute(protocol.Execute(("sh", "-c", looks), inside=True, timeout_s=60))
    if said.code != 0:
        raise CommandError(("sh", "-c", looks), f"exited with {said.code}", said.err.decode(errors="replace"))
    return (*said.out.decode(errors="replace").splitlines(), *islice(_processes(gone.unit), MOST_TOLD))


def _processes(unit: str) -> Iterator[str]:
    """Those of a unit, by their cgroups."""
    for each in Path("/proc").glob("[0-9]*/cgroup"):
        with suppress(OSError):  # it has just ended
            if unit in each.read_text():
                yield f"process {each.parent.name}"


def on_node(script: str, *, stdin: str = "", check: bool = True) -> bool:
    """A shell's script on the node itself; whether it ended well. With `check` raises CommandError where it did not."""
    argv = ("sh", "-ec" if check else "-c", script)
    said = programs.execute(protocol.Execute(argv, inside=True, timeout_s=60, stdin=stdin.encode()))
    if check and said.code != 0:
        raise CommandError(argv, f"exited with {said.code}", said.err.decode(errors="replace"))
    return said.code == 0


def is_running(home: Home) -> bool:
    """Whether systemd says that it runs."""
    return on_node(f'systemctl is-active --quiet "{home.unit}"', check=False)


def environment(name: str) -> str:
    """What the DaemonSet tells. Raises OrdealError where it does not."""
    value = os.environ.get(name, "")
    if not value:
        raise OrdealError(f"the agent is started without {name}: it is for manifests/agent/agent.yaml to start it")
    return value
