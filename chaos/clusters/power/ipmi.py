"""Nodes with a management controller (BMC) that speaks IPMI, by `ipmitool` here or on a host that reaches it.

A password is read where the driver is made, and handed to ipmitool by its environment, or by ssh's input to a shell
that puts it there: it is in no command line, in no message and in no journal.
"""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec

from chaos.basics.untrusted import CREDENTIAL, text_file
from chaos.clusters.abilities import OFF, RUNNING
from chaos.clusters.power import written
from chaos.errors import OrdealError
from chaos.hosts.command import Output, run_apart

SWITCHES_WITHIN_S, SAYS_WITHIN_S = 30.0, 10.0
# ipmitool(1): "-E: The remote server password is specified by the environment variable IPMI_PASSWORD".
PASSWORD = "IPMI_PASSWORD"  # noqa: S105  (its name)
FROM_INPUT = f'IFS= read -r {PASSWORD} && export {PASSWORD} && exec "$@"'
RETRIES = ("-N", "1", "-R", "2")  # seconds until it asks again, and how often: it gives up within SAYS_WITHIN_S
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "--")
STATES = {"Chassis Power is on": RUNNING, "Chassis Power is off": OFF}


class Bmc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node's controller: its address, and what is another than BmcFile says it for all."""

    host: Annotated[str, msgspec.Meta(pattern=r"^[^-]")]  # or ipmitool takes it for an option
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 623
    user: str = ""
    password_file: str = ""
    password_env: str = ""


class BmcFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`password_file` is relative to this file; `password_env` names a variable of the environment. `interface` and
    `cipher_suite`: as `ipmitool -I` and `-C`; without the latter the BMC is asked which it has. `ssh`: where ipmitool
    runs, as `ssh` names it; "" for this machine.
    """

    nodes: Mapping[str, Bmc]
    user: str = ""
    password_file: str = ""
    password_env: str = ""
    interface: str = "lanplus"
    cipher_suite: int | None = None
    ssh: str = ""


@dataclass(frozen=True, slots=True)
class Ipmi:
    """`chassis power off` cuts the power, `chassis power on` gives it back."""

    file: Path
    said: BmcFile

    def off(self, node: str) -> None:
        """Harmless where it is off."""
        self._ipmitool(node, "off", SWITCHES_WITHIN_S)

    def on(self, node: str) -> None:
        """Harmless where it is on."""
        self._ipmitool(node, "on", SWITCHES_WITHIN_S)

    def state(self, node: str) -> str:
        said = self._ipmitool(node, "status", SAYS_WITHIN_S).out.strip()
        if said not in STATES:
            raise OrdealError(
                f"the BMC of node {node} ({self._bmc(node).host}) says {said[:200]!r}, neither on nor off"
            )
        return STATES[said]

    def _ipmitool(self, node: str, verb: str, within_s: float) -> Output:
        bmc, password = self._bmc(node), self._password(node)
        user = bmc.user or self.said.user
        where = ["-I", self.said.interface, "-H", bmc.host, "-p", str(bmc.port), *(["-U", user] if user else [])]
        suite = [] if self.said.cipher_suite is None else ["-C", str(self.said.cipher_suite)]
        argv = ["ipmitool", *where, *suite, "-E", *RETRIES, "chassis", "power", verb]
        if not self.said.ssh:
            return run_apart(argv, timeout_s=within_s, env={PASSWORD: password})
        there = shlex.join(["sh", "-c", FROM_INPUT, "sh", *argv])
        return run_apart([*SSH, self.said.ssh, there], timeout_s=within_s, stdin=f"{password}\n")

    def _bmc(self, node: str) -> Bmc:
        found = self.said.nodes.get(node)
        if found is None:
            raise OrdealError(f"{self.file} names no BMC of node {node}")
        return found

    def _password(self, node: str) -> str:
        """Each time anew: it may be changed while a run goes on. Its own of a node goes before that of all."""
        for each in (self._bmc(node), self.said):
            file, variable = each.password_file, each.password_env
            if file and variable:
                raise OrdealError(f"{self.file} gives both password_file and password_env to node {node}: give one")
            if file:
                return self._in_file(file)
            if variable:
                if variable not in os.environ:
                    raise OrdealError(
                        f"{self.file} says that the BMC's password is in the variable {variable}, which is not set"
                    )
                return os.environ[variable]
        raise OrdealError(
            f"{self.file} gives the BMC of node {node} no password: name a password_file or a password_env"
        )

    def _in_file(self, name: str) -> str:
        path = self.file.parent / name
        try:
            return text_file(path, CREDENTIAL).rstrip("\r\n")
        except OSError as error:
            raise OrdealError(f"the BMC's password can't be read from {path}: {error.strerror}") from error
        except ValueError as error:
            raise OrdealError(f"the BMC's password can't be read from {path}: it is no text") from error


def ipmi(told: str, folder: Path) -> Ipmi:
    """The driver of a file (BmcFile). Raises OrdealError where none is named, or it can't be used."""
    if not told:
        raise OrdealError("the power driver ipmi needs a file that names the nodes' BMCs: ipmi:FILE")
    return Ipmi(folder / told, written.read(folder / told, BmcFile))
