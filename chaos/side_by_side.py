"""How replays are handed out to processes that run side by side (pytest -n)."""

import re

from xdist.scheduler import LoadScopeScheduling

from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.suites import PREFLIGHT, is_preflight

_CLUSTER = re.compile(rf"\[({KIND}|{SIMULATED}|{EXISTING})-[^\]]*\]$")
_SPEC = re.compile(r"::test_spec\[[^\]]*\]$")


class ByCluster(LoadScopeScheduling):  # type: ignore[misc]  # pytest-xdist has no types
    """A file's replays on one kind of cluster stay in one process, and so do all of preflight: they share a cluster.

    Told from the node id alone, and not by pytest-xdist's groups: those mark items in a way that pytest 9 overlooks.
    """

    def _split_scope(self, nodeid: str) -> str:
        if self.config.getoption("--cluster") == EXISTING and _SPEC.search(nodeid):
            return nodeid  # that cluster is there for all processes, and specs may run beside each other
        return scope(nodeid)


def scope(nodeid: str) -> str:
    """What is handed out together: the folder preflight or the file, and the kind of cluster."""
    found = _CLUSTER.search(nodeid)
    where = PREFLIGHT if is_preflight(nodeid) else nodeid.split("::", 1)[0]
    return f"{where}-{found[1]}" if found else where
