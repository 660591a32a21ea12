"""Which drivers there are: ours, and those of other packages by their entry points; made of what the journal keeps."""

import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path

from chaos.basics.scrub import scrub
from chaos.clusters.base import PowerRef
from chaos.clusters.power.command import own_command
from chaos.clusters.power.driver import ENTRY_POINTS, Maker
from chaos.clusters.power.ipmi import ipmi
from chaos.clusters.power.kind import kind
from chaos.clusters.power.switch import PowerSwitch
from chaos.clusters.power.virsh import virsh
from chaos.errors import OrdealError

COMMAND = "command"
_USER = re.compile(r"(?<=://)[^\s/:@]+@")  # of a URL, without a password: no secret, whatever stands there elsewhere
OURS: Mapping[str, Maker] = {COMMAND: own_command, "virsh": virsh, "ipmi": ipmi, "kind": kind}


def named(asked: str, command: str, folder: Path) -> PowerRef | None:
    """The driver that a user has named in `folder`: `asked` is its name, and after a colon what it is told; `command`
    is the user's own. None where both are empty.

    Raises OrdealError for both, for no such driver, for what that can't use, and for what has a secret in it.
    """
    if asked and command:
        raise OrdealError("a power driver and a power command are given: name what switches the nodes once")
    if not asked and not command:
        return None
    driver, _, told = (COMMAND, "", command) if command else asked.partition(":")
    without_user = _USER.sub("", told)
    if scrub(without_user) != without_user:
        raise OrdealError(
            f"what the power driver {driver} is told has a secret in it, and the journal would keep that: let the "
            f"driver read it from a file, or from the environment"
        )
    ref = PowerRef(driver, told, str(folder.absolute()))
    switch(ref)
    return ref


def switch(ref: PowerRef) -> PowerSwitch:
    """The power switch of nodes, by the driver that was named. Raises OrdealError where there is none of that name, or
    it can't use what it is told.
    """
    try:
        driver = _maker(ref.driver)(ref.told, Path(ref.folder))
    except OrdealError:
        raise
    except Exception as error:  # a driver may be anybody's
        raise OrdealError(f"the power driver {ref.driver} can't be used: {error!r}") from error
    return PowerSwitch(ref.driver, driver)


def _maker(name: str) -> Maker:
    if name in OURS:
        return OURS[name]
    found = entry_points(group=ENTRY_POINTS)
    if name not in found.names:
        known = ", ".join(sorted({*OURS, *found.names}))
        raise OrdealError(f"there is no power driver {name!r}; there are {known}, and a package may bring others")
    maker: Maker = found[name].load()
    return maker
