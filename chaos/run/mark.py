"""How a test says that it is one of ours. Imports nothing: every pytest of an environment asks."""

import re
from types import FunctionType, MethodType

REPLAY = "__kube_ordeal_replay__"  # the attribute of a function that replays an incident
SPECS = "__kube_ordeal_specs__"  # that of a function that becomes a test for each of upstream's specs
_REPLAY_ID = re.compile(r"\[\w+-(hardened|control:[^\]]*)\]$")


def is_marked(collected: object) -> bool:
    """Whether what pytest found in a module, or in a class, is a test of ours. Runs no code of the object's own."""
    if isinstance(collected, MethodType):
        collected = collected.__func__
    return isinstance(collected, FunctionType) and not collected.__dict__.keys().isdisjoint((REPLAY, SPECS))


def is_replay(nodeid: str) -> bool:
    """Whether a pytest node id looks like that of a replay: it ends with a cluster and a variant."""
    return _REPLAY_ID.search(nodeid) is not None
