"""Nodes that are virtual machines of libvirt, by its command `virsh` on this machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaos.clusters.abilities import OFF, RUNNING
from chaos.clusters.power import written
from chaos.errors import OrdealError
from chaos.hosts.command import Output, run_apart

SWITCHES_WITHIN_S, SAYS_WITHIN_S = 30.0, 10.0
# As `virsh domstate` says it in the locale C (libvirt, tools/virsh-domain-monitor.c). A machine that is shut down says
# "in shutdown" until it is "shut off".
STATES = {"running": RUNNING, "idle": RUNNING, "shut off": OFF}


class Domains(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`connect`: the URI, as of `virsh --connect`; "" for virsh's own. `nodes`: the domain of each node that is not
    called as its node is, by its name or its UUID.
    """

    connect: str = ""
    nodes: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Virsh:
    """`virsh destroy` cuts a domain's power, `virsh start` gives it back."""

    domains: Domains

    def off(self, node: str) -> None:
        """Harmless where it is off."""
        if self.state(node) != OFF:  # libvirt refuses it else
            self._virsh("destroy", node, SWITCHES_WITHIN_S)

    def on(self, node: str) -> None:
        """Harmless where it runs."""
        if self.state(node) != RUNNING:
            self._virsh("start", node, SWITCHES_WITHIN_S)

    def state(self, node: str) -> str:
        said = self._virsh("domstate", node, SAYS_WITHIN_S).out.strip()
        if said not in STATES:
            raise OrdealError(f"libvirt says that the domain {self._domain(node)} is {said!r}, neither running nor off")
        return STATES[said]

    def _virsh(self, verb: str, node: str, within_s: float) -> Output:
        connect = ["--connect", self.domains.connect] if self.domains.connect else []
        argv = ["virsh", *connect, "--quiet", verb, "--domain", self._domain(node)]
        return run_apart(argv, timeout_s=within_s, env={"LC_ALL": "C"})

    def _domain(self, node: str) -> str:
        domain = self.domains.nodes.get(node, node)
        if domain.isdecimal():
            raise OrdealError(f"virsh takes {domain} for a domain's number: name the domain of node {node} by its UUID")
        return domain


def virsh(told: str, folder: Path) -> Virsh:
    """The driver: nothing, a URI, or the name of a file (Domains). Raises OrdealError for a file that can't be used."""
    if not told or "://" in told:
        return Virsh(Domains(connect=told))
    return Virsh(written.read(folder / told, Domains))
