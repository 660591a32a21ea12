"""What keeps this machine from a replay: told before a cluster is made for it, so that it can be skipped."""

from collections.abc import Iterable, Mapping

from chaos.clusters.abilities import ControlPlaneSwap, NodeAddresses, NodeNetwork, NodePower, OwnFileSystems
from chaos.clusters.base import KIND
from chaos.hosts import engine, extras, workload_images
from chaos.hosts.parts import NODE_NETWORKS, OWN_FILE_SYSTEMS, ROOT, Part
from chaos.run.incident import DENSE, STATEFUL, Replay

BY_ABILITY: Mapping[type, tuple[Part, ...]] = {
    NodeNetwork: (ROOT, NODE_NETWORKS),
    NodePower: (ROOT, NODE_NETWORKS),
    NodeAddresses: (ROOT, NODE_NETWORKS),
    ControlPlaneSwap: (ROOT, NODE_NETWORKS),
    OwnFileSystems: (ROOT, OWN_FILE_SYSTEMS),
}
BY_SHAPE: Mapping[str, tuple[Part, ...]] = {DENSE: (ROOT, OWN_FILE_SYSTEMS), STATEFUL: (ROOT, OWN_FILE_SYSTEMS)}


def parts_of(replay: Replay, *, made: bool = True) -> tuple[Part, ...]:
    """The parts of this machine that a replay uses; `made`: on a cluster that is made for it, of its shape."""
    by_ability = [part for need in replay.needs for part in BY_ABILITY.get(need, ())]
    by_shape = BY_SHAPE.get(replay.shape, ()) if made else ()
    root = (ROOT,) if replay.host else ()
    return tuple(dict.fromkeys((*root, *by_ability, *by_shape, *replay.host)))


def lacking_part(replay: Replay, *, made: bool = True) -> str:
    """Why a part of this machine keeps it from the replay; "" where none does."""
    for part in parts_of(replay, made=made):
        if why := part.lacks():
            return f"{replay.incident.id} needs {part.name} on this machine, and {why}; {part.mend}"
    return ""


def lacking_extra(replay: Replay, cluster: str) -> str:
    """Why packages that are not installed keep it from such a cluster; "" where none does."""
    named = (*((extras.KIND,) if cluster == KIND else ()), *replay.extras)
    why = next(filter(None, map(extras.lacks, named)), "")
    return f"{replay.incident.id} can't be replayed here: {why}" if why else ""


def obstacle(replay: Replay, given: Mapping[str, str]) -> str:
    """Why this machine can't do the replay on a kind cluster; "" where nothing is known against it.

    `given`: the images that the user named, by the workload's name. Raises OrdealError where no engine can be used.
    """
    if why := lacking_part(replay):
        return why
    if NODE_NETWORKS in parts_of(replay) and not engine.runs_here():
        return (
            f"{replay.incident.id} enters nodes' networks from this machine, and the container engine runs on another "
            f"one, or in a virtual machine or a container of its own"
        )
    return lacking_image(replay, given)


def lacking_image(replay: Replay, given: Mapping[str, str]) -> str:
    """Why an image that the replay runs can't be had here, or run; "" where nothing is known against it.

    `given` as `obstacle` has it. Raises OrdealError where it runs one and no engine can be used.
    """
    for name in replay.images:
        if why := workload_images.obstacle(name, given.get(name, ""), engine=engine.chosen()):
            return f"{replay.incident.id} runs {name}, and {why}"
    return ""


def lacking_name(replay: Replay, given: Mapping[str, str]) -> str:
    """Why an image that the replay runs can't be told to nodes that pull themselves; "" where nothing is known against
    it. `given` as `obstacle` has it.
    """
    for name in replay.images:
        if not given.get(name) and (why := workload_images.not_for_nodes(name)):
            return f"{replay.incident.id} runs {name}, and {why}"
    return ""


def needed_for(part: Part, replays: Iterable[Replay]) -> tuple[str, ...]:
    """The incidents whose replays on kind use that part."""
    return tuple(sorted({each.incident.id for each in replays if KIND in each.on and part in parts_of(each)}))
