"""Debian's packages: installed where they lack, on record before that, and removed again where nothing needs them."""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace

from chaos.basics.progress import Report, silent
from chaos.basics.waiting import eventually
from chaos.errors import OrdealError
from chaos.hosts import record
from chaos.hosts.command import CommandError, Output, run

UPDATE_TIMEOUT_S, SIMULATE_TIMEOUT_S, INSTALL_TIMEOUT_S = 600.0, 120.0, 1200.0
LOCK_WITHIN_S = 300.0  # a machine that has just started updates its lists by itself
# Where the lock of apt's lists or archives is held apt-get gives up at once, whatever it is told of dpkg's lock.
_HELD = "Could not get lock"
_NEW = re.compile(r"^Inst (\S+) \(", re.MULTILINE)  # of one that is there already the old version stands in brackets
_GONE = re.compile(r"^Remv (\S+)", re.MULTILINE)


def can_install() -> bool:
    """Whether this machine has Debian's packages."""
    return shutil.which("apt-get") is not None


def install(packages: Sequence[str], report: Report = silent) -> None:
    """Install packages; none that is there is removed for it.

    Raises OrdealError without root, where there is no apt or another package would have to go, CommandError.
    """
    names = ", ".join(packages)
    need_root(f"installing {names}")
    if not can_install():
        raise OrdealError(f"{names} must be installed and this machine has no apt-get: install it yourself.")
    report(f"installing {names}")
    _apt(["update", "-q"], UPDATE_TIMEOUT_S, report)
    argv = ["install", "-y", "-q", "--no-install-recommends", *packages]
    would = _apt([*argv, "--simulate"], SIMULATE_TIMEOUT_S, report).out
    if gone := _GONE.findall(would):
        raise OrdealError(f"to install {names} would remove {', '.join(gone)}: nothing was done; decide it yourself.")
    new = sorted(_NEW.findall(would), key=lambda each: each not in packages)
    record.change(lambda known: replace(known, packages=tuple(dict.fromkeys((*known.packages, *new)))))
    try:
        _apt([*argv, "--no-remove"], INSTALL_TIMEOUT_S, report)
    except OrdealError:  # not after Ctrl-C: dpkg may go on for a while then
        there = _states(new)
        lacking = {each for each in new if each.partition(":")[0] not in there}
        record.change(lambda known: replace(known, packages=tuple(p for p in known.packages if p not in lacking)))
        raise


def remove(packages: Sequence[str], report: Report = silent) -> None:
    """Remove packages that were installed here, unless others need them by now: then all stay, which is reported."""
    there = [each for each, state in _states(packages).items() if state == "ii"]
    if not there:
        return
    argv = ["remove", "-y", "-q", *there]
    others = sorted(set(_GONE.findall(_apt([*argv, "--simulate"], SIMULATE_TIMEOUT_S, report).out)) - set(there))
    if others:
        report(f"these packages stay, as {', '.join(others)} needs them: {', '.join(there)}")
        return
    report(f"removing {', '.join(there)}")
    _apt(argv, INSTALL_TIMEOUT_S, report)


def _states(packages: Sequence[str]) -> dict[str, str]:
    """What dpkg has of these packages, half installed ones too: the letters of its list (dpkg-query(1)), by name."""
    if not packages:
        return {}
    listed = ["dpkg-query", "--show", "--showformat=${binary:Package} ${db:Status-Abbrev}\n", *packages]
    lines = [line.split() for line in run(listed, check=False).out.splitlines()]
    return {name.partition(":")[0]: state for name, state, *_ in lines if state[1] not in "nc"}


def need_root(what: str) -> None:
    """Raises OrdealError, saying what for, where this user is not root."""
    if os.geteuid() != 0:
        raise OrdealError(f"{what} needs root; run the same command with sudo.")


def _apt(arguments: Sequence[str], timeout_s: float, report: Report) -> Output:
    argv = ["apt-get", "-o", f"DPkg::Lock::Timeout={LOCK_WITHIN_S:g}", *arguments]
    told: list[str] = []

    def once_free() -> Output | None:
        said = run(argv, timeout_s=timeout_s, check=False, env={"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"})
        if said.code == 0 or _HELD not in said.err:
            return said
        if not told:
            told.append("once")
            report("another program is at apt's lists: waiting for it")
        return None

    said = eventually(once_free, within_s=LOCK_WITHIN_S, what="apt's lists to be free", every_s=1.0)
    assert said is not None
    if said.code != 0:
        raise CommandError(argv, f"exited with {said.code}", said.err.strip() or said.out)
    return said
