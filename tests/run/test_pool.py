"""Names of clusters: what they may begin with, and that one is let go where its cluster comes to nothing."""

from pathlib import Path

import pytest

from chaos.clusters.base import SIMULATED
from chaos.clusters.shape import Shape
from chaos.errors import OrdealError
from chaos.record.journal import Journal
from chaos.run import pool
from chaos.run.pool import LONGEST_NAME, Pool, Wishes, check_name


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.mark.parametrize("name", ["", "a", "0-a", "ordeal", "x" * LONGEST_NAME])
def test_names_that_any_kind_of_cluster_takes(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["-a", "A", "a_b", "a.b", "a/b", "é", "a b", "a\n", "x" * (LONGEST_NAME + 1)])
def test_names_that_some_kind_does_not_take(name: str) -> None:
    with pytest.raises(OrdealError, match="can't be the beginning of a cluster's name"):
        check_name(name)


@pytest.mark.parametrize("keep", [False, True])
def test_a_name_is_let_go_where_its_cluster_comes_to_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: bool
) -> None:
    def broken(*_: object) -> bool:
        raise OrdealError("the engine does not answer")

    monkeypatch.setattr(pool, "exists", broken)
    kept_errors = []
    with Journal(tmp_path / "journal.jsonl") as journal:
        for _ in range(2):  # each as another run would
            made = Pool(Wishes("1.34.4", name="x", keep=keep), journal, "20260101-000000-abcd", print)
            with pytest.raises(OrdealError, match="the engine does not answer") as error:
                made.acquire(SIMULATED, Shape())
            kept_errors.append(error)  # whose traceback holds all that was in hand
