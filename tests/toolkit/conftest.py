import os
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from chaos.basics.waiting import eventually
from chaos.clusters.existing import cluster as existing
from chaos.harm import base
from chaos.run.guard import Anything
from chaos.session import run
from chaos.toolkit.session import SESSION
from tests.toolkit.fakes import FakeCluster


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """A fake cluster behind the kubeconfig, state and results in a directory of the test's own, short patience."""
    monkeypatch.chdir(tmp_path)
    fake = FakeCluster()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(existing, "attach", lambda *_: fake)
    monkeypatch.setattr(existing, "attach_again", lambda *_: fake)
    monkeypatch.setattr(existing, "check", lambda *_, **__: None)
    monkeypatch.setattr(run, "claimed", lambda *_: nullcontext())
    monkeypatch.setattr(run, "Guard", lambda *_: Anything())
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    (tmp_path / "kubeconfig").write_text(
        "{current-context: a, contexts: [{name: a, context: {cluster: a}}],"
        " clusters: [{name: a, cluster: {server: http://localhost}}]}"
    )
    monkeypatch.setattr(base, "eventually", lambda c, **kw: eventually(c, **{**kw, "within_s": 0.5, "every_s": 0.05}))
    before = os.umask(0o022)
    yield fake
    os.umask(before)  # the guard's, which is the last of a process otherwise
    SESSION.close()
