"""Real clusters for the integration tests, made once a session and taken down at its end."""

import os
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO
from unittest import mock

import pytest

from chaos.clusters.base import KIND, Cluster
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.shape import dense_shape, stateful_shape
from chaos.harm import load_all
from chaos.hosts.bundles import DEFAULT_KUBERNETES
from chaos.hosts.places import journals_dir, state_dir
from chaos.record.journal import Journal
from chaos.run import pool as pools
from chaos.run.pool import Pool, Wishes
from chaos.run.profile import PROFILES

# Side by side each process keeps its state apart: `kube-ordeal undo` in the one must not undo what the other one's
# killed run has left for its own test. .ci/run knows where to look for what is left of both.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if WORKER:
    os.environ["XDG_STATE_HOME"] = str(state_dir().with_name("kube-ordeal-tests") / WORKER)


# Minutes each, on clusters that no other file uses, or on none: begun last, they would go on alone.
FIRST = ("test_agent.py", "test_toolkit.py", "test_tutorial.py", "test_wheel.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs a cluster; files that share one stay together, for the pool holds one at a time.

    Side by side, files are handed out in this order (`--no-loadscope-reorder`: by how many tests they have, otherwise,
    and the same cluster is made anew for each file).
    """
    ranks: dict[Path, int] = {}
    for item in items:
        if "integration" in item.path.parts:
            item.add_marker(pytest.mark.integration)
        names = getattr(item, "fixturenames", [])
        own = 0 if item.path.name in FIRST else 3
        rank = 1 if "stateful_cluster" in names else 2 if "kind_cluster" in names else own
        ranks[item.path] = min(rank, ranks.get(item.path, rank))
    items.sort(key=lambda item: ranks[item.path])


LEFT_OUT = pytest.StashKey[Counter[str]]()
LEFT_OUT_KEY = "kube_ordeal_left_out"


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember what `-m "not nightly"` leaves out, by reason."""
    for item in items if items and "nightly" in items[0].config.option.markexpr else ():
        mark = item.get_closest_marker("nightly")
        if mark is not None:
            item.config.stash.setdefault(LEFT_OUT, Counter())[mark.args[0]] += 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Side by side, the process that has the terminal collects nothing itself."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        left_out: Counter[str] = session.config.stash.get(LEFT_OUT, Counter())
        output[LEFT_OUT_KEY] = dict(left_out)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """What one of the processes left out; all of them have left out the same."""
    node.config.stash[LEFT_OUT] = Counter(getattr(node, "workeroutput", {}).get(LEFT_OUT_KEY, {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was left out, and why: a test that did not run is not one that passed."""
    left_out = config.stash.get(LEFT_OUT, Counter())
    if left_out:
        terminalreporter.section(f"{left_out.total()} tests were left to `make nightly`")
        for reason, count in left_out.most_common():
            terminalreporter.write_line(f"{count:4}  {reason}")


@pytest.fixture(scope="session")
def journal() -> Iterator[Journal]:
    """The journal of the test session."""
    load_all()
    with Journal(journals_dir() / f"tests-{uuid.uuid4().hex[:8]}.jsonl") as opened:
        yield opened


@pytest.fixture(scope="session")
def pool(journal: Journal) -> Iterator[Pool]:
    """The clusters of the test session."""
    made = Pool(Wishes(kubernetes=DEFAULT_KUBERNETES, name="it"), journal, uuid.uuid4().hex, print)
    # A run that is killed in a test has its cluster from here. An undo takes the cluster's name, as that run would have
    # had it: so nobody holds it here.
    with mock.patch.object(pools, "_lock", _open), closing(made):
        yield made


def _open(name: str) -> BinaryIO:
    path = pools._lock_path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("ab")


@pytest.fixture(scope="module")
def kind_cluster(pool: Pool) -> Cluster:
    """One control plane, two workers, the first with file systems of its own, the smoke profile's timers."""
    return pool.acquire(KIND, dense_shape(PROFILES["smoke"].kind_timers))


@pytest.fixture(scope="module")
def stateful_cluster(pool: Pool) -> KindCluster:
    """One control plane, three workers with file systems for volumes, a folder that all share."""
    made = pool.acquire(KIND, stateful_shape(PROFILES["smoke"].kind_timers))
    assert isinstance(made, KindCluster)
    return made
