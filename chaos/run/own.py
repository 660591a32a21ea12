"""What the user brings to a run: a command that upgrades the cluster, Services that are watched, limits."""

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

from chaos.clusters.base import EXISTING
from chaos.errors import OrdealError
from chaos.hosts.bundles import normal_version
from chaos.hosts.places import APP
from chaos.record.given import LimitGiven
from chaos.results.past_limits import Basis
from chaos.run import limits, watched
from chaos.run.budget import parse
from chaos.run.options import Options
from chaos.run.watched import WatchedService

COMMAND, WITHIN = "--ordeal-upgrade-command", "--ordeal-upgrade-within"
MOST_S = 5 * 3600.0  # a prober ends after six hours, whatever becomes of its run


@dataclass(frozen=True, slots=True)
class Own:
    """`upgrade`: the command's words, none where none was given; it may take `upgrade_within_s` seconds."""

    upgrade: Sequence[str] = ()
    upgrade_within_s: float = 2 * 3600.0
    watched: Sequence[WatchedService] = ()
    limits: Sequence[LimitGiven] = ()

    @property
    def longest_s(self) -> float:
        """The longest that any of the limits lets something take, in seconds: so long it has to be waited for."""
        return max((each.value for each in self.limits if each.argument.endswith("within_s")), default=0.0)


def own_of(asked: Options) -> Own:
    """What the options say of it. Raises OrdealError for what can't be used."""
    within_s = parse(asked.upgrade_within, WITHIN)
    if within_s > MOST_S:
        raise OrdealError(f"{WITHIN} {asked.upgrade_within}: a cluster is watched for {MOST_S / 3600:g}h at the most")
    services = watched.parse(asked.watch_service)
    return Own(_words(asked.upgrade_command), within_s, services, _limits(asked, services))


def _limits(asked: Options, services: Sequence[WatchedService]) -> Sequence[LimitGiven]:
    if asked.limits is None:
        return ()
    named = str(asked.limits)
    if not named.startswith(limits.HISTORY):
        return limits.read(asked.limits, services)
    if asked.cluster == EXISTING:
        raise OrdealError(
            f"{limits.OPTION} {named} takes runs of the version of clusters that are made: for an existing one write a "
            f"file with `{APP} history limits --kubernetes VERSION`"
        )
    basis = Basis(normal_version(asked.kubernetes), asked.profile, str(os.cpu_count()))
    return limits.from_history(named.removeprefix(limits.HISTORY), basis)


def _words(command: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise OrdealError(f"{COMMAND} {command!r} can't be read: {error}") from error
    if command and not words:
        raise OrdealError(f"{COMMAND} {command!r} names no command")
    if words and shutil.which(words[0]) is None:
        raise OrdealError(f"{COMMAND}: {words[0]} is no program that can be run from here: name it, or make it so")
    return words
