"""What clusters on kind need of this machine beside an engine: limits, and routes that keep their traffic here."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from chaos.basics.progress import Report, silent
from chaos.errors import OrdealError
from chaos.hosts import packages, ranges, record
from chaos.hosts.command import run
from chaos.hosts.engine import Engine
from chaos.hosts.ranges import NODE_RANGE_6, NODE_RANGES, POD_RANGE, SERVICE_RANGE
from chaos.hosts.record import MachineRecord

WORST_METRIC = "4294967295"
# Each containerd shim, kubelet and systemd takes inotify instances of the one user, root; the kernel's 128 are gone
# with the second node.
SYSCTLS = {"fs.inotify.max_user_instances": 8192, "fs.inotify.max_user_watches": 524288}


def prepare(engine: Engine, report: Report = silent) -> None:
    """Raise limits and add routes; only what is missing. Raises OrdealError without root, or where no range is free."""
    _raise_limits(report)
    if engine.ours:  # a user's own Docker may be on another machine, and the routes are the user's
        if not ranges.node_range():
            raise OrdealError(f"every range for nodes' networks is in use here: {', '.join(NODE_RANGES)}; free one.")
        contain(_wanted_routes(), report)


def missing(engine: Engine) -> tuple[str, ...]:
    """What `prepare` would do, in words; empty where nothing is missing."""
    lines = [f"{name} is {sysctl(name)}" for name in _low()]
    if engine.ours:
        there = ranges.unreachable()
        lines += [
            f"no route contains {each}" for each in _wanted_routes() if each not in there and not ranges.wider(each)
        ]
    return tuple(lines)


def uncontained(engine: Engine) -> tuple[str, ...]:
    """What `prepare` leaves as it is, in words: ranges whose traffic a route of this machine's own may lead away."""
    if not engine.ours:
        return ()
    there = ranges.unreachable()
    overlaps = {each: ranges.wider(each) for each in _wanted_routes() if each not in there}
    return tuple(f"{each} lies within this machine's own route {other}" for each, other in overlaps.items() if other)


def contain(wide: Sequence[str], report: Report = silent) -> None:
    """Give the host an unreachable route of the worst metric for each range, so that nothing of it leaves the machine.

    While a bridge is there its own route wins; when it is gone, packets end here and not at the default gateway.
    """
    there = ranges.unreachable()
    for each in wide:
        if each in there:
            continue
        # A narrower route of somebody else's wins over ours; a wider one would lose its part of the range to it.
        if other := ranges.wider(each):
            report(f"{each} overlaps with this machine's own route {other}: left as it is")
            continue
        packages.need_root(f"adding an unreachable route to {each}")
        _keep_route(each)
        # Not `add`: another process may have added it since it was looked for.
        run(["ip", "route", "replace", "unreachable", each, "metric", WORST_METRIC])
        report(f"{each} is kept on this machine by an unreachable route")


def take_back(known: MachineRecord, report: Report = silent) -> None:
    """Remove the routes, and set the limits back, that are on record."""
    for route in known.routes:
        report(f"removing the route: unreachable {route}")
        run(["ip", "route", "del", "unreachable", route, "metric", WORST_METRIC], check=False)
    for name, value in known.of_this_boot().sysctls.items():
        if name not in SYSCTLS or not value.isdecimal():
            report(f"{name} is left as it is: the record says {value!r} of it, and set-up never does")
            continue
        now = sysctl(name)
        if now == f"{SYSCTLS[name]}":
            report(f"setting {name} back to {value}")
            sysctl_file(name).write_text(value)
        elif now != value:
            report(f"{name} stays at {now}: it was changed after it was raised here")


def sysctl(name: str) -> str:
    """The value of a setting of the kernel's."""
    return sysctl_file(name).read_text().strip()


def sysctl_file(name: str) -> Path:
    """The file of a setting of the kernel's."""
    return Path("/proc/sys", *name.split("."))


def _wanted_routes() -> tuple[str, ...]:
    """A range that is contained already stays the nodes'."""
    there = ranges.unreachable()
    nodes = next((each for each in NODE_RANGES if each in there), "") or ranges.node_range()
    nodes_6 = NODE_RANGE_6 if ranges.has_ipv6() else ""
    return tuple(each for each in (POD_RANGE, SERVICE_RANGE, nodes, nodes_6) if each)


def _raise_limits(report: Report) -> None:
    low = _low()
    if low:
        packages.need_root(f"raising {', '.join(low)}")
    for name, value in low.items():
        before = sysctl(name)
        _keep_sysctl(name, before)
        report(f"raising {name} from {before} to {value}")
        sysctl_file(name).write_text(str(value))


def _keep_route(route: str) -> None:
    record.change(lambda known: replace(known, routes=tuple(dict.fromkeys((*known.routes, route)))))


def _keep_sysctl(name: str, before: str) -> None:
    def with_it(known: MachineRecord) -> MachineRecord:
        here = known.of_this_boot()
        return replace(here, sysctls={name: before, **here.sysctls})

    record.change(with_it)


def _low() -> dict[str, int]:
    return {name: value for name, value in SYSCTLS.items() if int(sysctl(name)) < value}
