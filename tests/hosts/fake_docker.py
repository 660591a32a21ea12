"""A docker client that is a script: what it says is a test's, and how it was called is kept.

It stands for the program alone; what it is told by, and what is made of its words, is the real thing.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path

VERSION = "27.0.1"
INFO = {
    "ServerVersion": VERSION,
    "DockerRootDir": "/var/lib/docker",
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=cgroupns"],
    "DriverStatus": [["Backing Filesystem", "extfs"]],
    "Name": "",  # another machine's, unless a test says this one's
    "KernelVersion": "",
}


@dataclass
class FakeDocker:
    """The script in a folder of its own. `on`: what is done for a subcommand, as shell; else it ends with 0."""

    folder: Path
    on: dict[str, str] = field(default_factory=dict)

    @property
    def client(self) -> Path:
        return self.folder / "docker"

    def install(self, **on: str) -> "FakeDocker":
        """Write the script; `on` is added to what it does. `_` in a name stands for a blank ("image_inspect")."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.on |= {"version": f"echo '{VERSION}|Engine containerd runc '", **self.on}
        self.on |= {name.replace("_", " "): script for name, script in on.items()}
        self.on.setdefault("info", f"echo '{json.dumps(INFO)}'")
        two = "".join(f"  '{name}') {script} ;;\n" for name, script in self.on.items() if " " in name)
        one = "".join(f"  '{name}') {script} ;;\n" for name, script in self.on.items() if " " not in name)
        self.client.write_text(
            f'#!/bin/sh\necho "$*" >>{self.folder}/calls\ncase "$1 $2" in\n{two}*) case "$1" in\n{one}esac ;;\nesac\n'
        )
        self.client.chmod(0o755)
        return self

    @property
    def calls(self) -> list[str]:
        """How it was called, in order, without what only asks whether it answers."""
        path = self.folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line for line in lines if not line.startswith(("version", "--version", "info"))]
