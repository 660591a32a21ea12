"""Undoing what runs that are over have left behind: faults that were never taken back, clusters never deleted.

On a cluster that was made here it just happens. On any other one the user is asked, or has told it: another run's
leftovers are nothing that this one was started for.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from chaos.basics.waiting import eventually
from chaos.clusters.agent.cluster import STARTS_WITHIN_S, take_off
from chaos.clusters.base import EXISTING, KIND, Cluster, ClusterRef
from chaos.clusters.identity import named_in, require_same
from chaos.clusters.kind import docker
from chaos.clusters.way.client import FAILURES, Access, told
from chaos.clusters.way.kubeconfig import read
from chaos.clusters.way.kubeconfig_files import sweep
from chaos.errors import OrdealError
from chaos.harm import load_all
from chaos.harm.base import needs_agents, remains, undo_pending
from chaos.harm.node import PowerOff
from chaos.hosts.places import journals_dir
from chaos.record.journal import AGENT, CLUSTER, WORKLOAD, Pending, adopt, left, pending
from chaos.run import pool
from chaos.run.claim import CLAIM, Claim, give_back
from chaos.workloads.web import remove_namespace


@dataclass(frozen=True, slots=True)
class Undone:
    """One entry of a journal that was handled; `error` is empty where it is undone."""

    what: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class Permission:
    """What may be undone besides what was done to clusters that were made here.

    `existing`: what was done to any other cluster. `run`: all that this run itself did. `server`, `context`: where
    entries lead to that do not say which cluster they are of, as older versions wrote them: the user says it is that.
    """

    existing: bool = False
    run: str = ""
    server: str = ""
    context: str = ""

    def covers(self, one: Pending) -> bool:
        """Whether it may be undone."""
        return one.cluster.kind != EXISTING or self.existing or _is_of_run(one, self.run)


def left_on_existing(run: str) -> tuple[str, ...]:
    """What earlier runs than this one left on clusters that are not ours to make, as words for people."""
    return tuple(_named(p) for p in pending(journals_dir()) if p.cluster.kind == EXISTING and not _is_of_run(p, run))


def require_nothing_left(run: str, how_to_allow: str) -> None:
    """Raise OrdealError, with what it is, where earlier runs than this one left something on an existing cluster."""
    if names := left_on_existing(run):
        raise OrdealError(
            f"earlier runs have left on clusters that are not ours to make: {', '.join(names)}; `kube-ordeal undo` "
            f"undoes it, or {how_to_allow}"
        )


def undo_all(report: Callable[[str], None], allowed: Permission) -> tuple[Undone, ...]:
    """Undo all that is pending, allowed, and not of a live run, clusters first, newest first. What fails stays pending.

    What is not allowed is left as it is, and not among what is returned. A journal that can't be read is, with the
    reason, and keeps nothing of the others from being undone.
    """
    load_all()
    there = left(journals_dir())
    found = [each for each in there.pending if allowed.covers(each)]
    # What was done to a cluster goes with it, where it does go; agents are needed for whatever else there is.
    found.sort(key=lambda each: (each.kind != CLUSTER, each.kind == AGENT))
    gone: list[Pending] = []
    handled: list[Undone] = []
    for one in found:
        what = _named(one)
        report(f"an earlier run left {what} behind; undoing it")
        try:
            with _held(one, allowed):
                if _undo(one, allowed, report, with_its_cluster=any(_is_of(one, each) for each in gone)):
                    handled.append(Undone(what))
                    if one.kind == PowerOff.kind and one.cluster.kind == EXISTING and one is not found[-1]:
                        _await_api(one.cluster, report)
                    if said := remains(one.kind):
                        report(f"{what}: {said}")
                    gone += [one] if one.kind == CLUSTER else []
        except (*FAILURES, OSError) as error:
            report(f"{what} could not be undone: {told(error)}")
            handled.append(Undone(what, told(error)))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            why = f"its entry in {one.path} is not what this version writes ({error!r}): undo it by hand"
            report(f"{what} could not be undone: {why}")
            handled.append(Undone(what, why))
    for run, why in there.unread.items():
        what = f"the journal of {run}"
        report(f"what {what} holds could not be undone: {why}")
        handled.append(Undone(what, why))
    sweep()
    return tuple(handled)


def _is_of(one: Pending, made: Pending) -> bool:
    """Whether an entry is of the cluster that another one says was made. A name is not enough: others may have it."""
    mine, its = one.cluster, made.cluster
    if (mine.kind, mine.name) != (its.kind, its.name):
        return False
    uids = {each.identity.uid for each in (mine, its) if each.identity is not None and each.identity.uid}
    return len(uids) < 2


def forget_entry(name: str, report: Callable[[str], None]) -> None:
    """Take an entry, named as `RUN:NUMBER`, out of its journal without undoing it. Raises OrdealError for no such."""
    there = left(journals_dir())
    for one in there.pending:
        if one.id == name:
            with adopt(one.path) as journal:
                if journal is not None:
                    journal.undone(one.entry)
                    report(f"forgotten, and not undone: {_named(one)}")
                    return
    if why := there.unread.get(name.partition(":")[0]):
        raise OrdealError(why)
    raise OrdealError(f"nothing pending is named {name!r}; `kube-ordeal undo` names what could not be undone")


def _undo(one: Pending, allowed: Permission, report: Callable[[str], None], *, with_its_cluster: bool) -> bool:
    if with_its_cluster:  # a fault ends with the cluster that it was done to
        there = False
    else:
        _check_engine(one)
        there = pool.exists(one.cluster)
    # No agent is put there to be taken away, to delete a namespace, or onto a node that has no power.
    by_agents = one.kind not in {AGENT, WORKLOAD} and needs_agents(one.kind)
    ref = one.cluster if by_agents else replace(one.cluster, agent="")
    cluster = pool.attach(ref) if there else None
    if cluster is not None:
        _check_cluster(one, cluster, allowed)
        if one.kind not in {WORKLOAD, CLUSTER, CLAIM, AGENT}:
            return undo_pending(one, cluster)
    with adopt(one.path) as journal:
        if journal is None:
            return False
        if one.kind == CLUSTER:
            (cluster or pool.attach(one.cluster)).delete()
        elif one.kind == CLAIM and cluster is not None:
            give_back(cluster.api, str(one.saved["holder"]))
        elif one.kind == AGENT and cluster is not None:
            _refuse_while_needed(one)
            take_off(cluster, Path(one.cluster.agent), report)
        elif cluster is not None:
            remove_namespace(cluster, str(one.saved["namespace"]))
        journal.undone(one.entry)
    return True


def _refuse_while_needed(one: Pending) -> None:
    """Agents stay where they are the way back. Raises OrdealError."""
    needs = [each for each in pending(journals_dir()) if each.cluster.agent == one.cluster.agent and each.kind != AGENT]
    if needs:
        raise OrdealError(f"they are the way back of {', '.join(_named(each) for each in needs)}")


def _check_engine(one: Pending) -> None:
    """Another engine knows nothing of the cluster, also not that it is gone. Raises OrdealError where it is another."""
    was = one.cluster.identity
    if one.cluster.kind == KIND and was is not None and was.engine and (now := docker.engine_id()) != was.engine:
        raise OrdealError(
            f"the cluster {one.cluster.name} was on the container engine {was.engine}, and {now} answers; choose that "
            f"one (DOCKER_HOST, `docker context use`), or `kube-ordeal undo --forget {one.id}`"
        )


def _check_cluster(one: Pending, cluster: Cluster, allowed: Permission) -> None:
    """Raises OrdealError where the cluster that is reached is not the one that the entry is of."""
    was = one.cluster.identity
    if was is not None:
        nodes = named_in(one.saved, {node.name for node in was.nodes})
        try:
            require_same(was, cluster.identity(), one.cluster.name, nodes, certain=not _goes_its_own_way(one))
        except OrdealError as error:
            raise OrdealError(f"{error}; `kube-ordeal undo --forget {one.id}` drops it") from error
    elif one.cluster.kind == EXISTING:
        _check_old(one, allowed)


def _await_api(ref: ClusterRef, report: Callable[[str], None]) -> None:
    """What is undone next may need the API server, which may have had no power. One that stays away is told then."""
    with suppress(OrdealError):
        access = Access(Path(ref.kubeconfig), ref.context)
        if not access.identity().uid:
            report(f"waiting for the API server of {ref.name}")
            eventually(lambda: access.identity().uid, within_s=STARTS_WITHIN_S, what="the API server to answer")


def _goes_its_own_way(one: Pending) -> bool:
    """Whether what undoes it is named in the entry, and not found by a kubeconfig, which may lead elsewhere today: the
    container engine, or a driver of the nodes' power. The API server may be what has no power.
    """
    return one.cluster.kind != EXISTING or (one.cluster.power is not None and one.kind == PowerOff.kind)


def _check_old(one: Pending, allowed: Permission) -> None:
    """An entry that does not say which cluster it is of is undone where the user says that it is this one."""
    chosen = read(Path(one.cluster.kubeconfig)).choose(one.cluster.context)
    leads = (chosen.cluster.server, chosen.context)
    if leads != (allowed.server, allowed.context):
        raise OrdealError(
            f"it was written by an older version and does not say which cluster it was done to; its kubeconfig "
            f"{one.cluster.kubeconfig} leads to {leads[0]} now (context {leads[1]}): if that is the cluster, "
            f"`kube-ordeal undo --server {leads[0]} --context {leads[1]}`, else `kube-ordeal undo --forget {one.id}`"
        )


@contextmanager
def _held(one: Pending, allowed: Permission) -> Iterator[None]:
    """The cluster is ours alone meanwhile, as it is a run's. Raises OrdealError where a run has it."""
    if one.cluster.kind != EXISTING:
        with pool.name_held(one.cluster.name):
            yield
        return
    access = Access(Path(one.cluster.kubeconfig), one.cluster.context)
    # This run has it, or it is what is given back. And where the API server is away, nobody can claim it.
    if _is_of_run(one, allowed.run) or one.kind == CLAIM or not access.identity().uid:
        yield
        return
    with Claim(access.client, f"undo of {one.id}"):
        yield


def _is_of_run(one: Pending, run: str) -> bool:
    """Whether this run, or one of its processes, wrote the journal."""
    return bool(run) and (one.path.stem == run or one.path.stem.startswith(f"{run}-"))


def _named(one: Pending) -> str:
    """What it is, where, and by which name it can be forgotten."""
    at = one.cluster.identity.server if one.cluster.identity is not None else ""
    where = f" ({at})" if at and one.cluster.kind == EXISTING else ""
    return f"{one.kind} on {one.cluster.name}{where} [{one.id}]"
