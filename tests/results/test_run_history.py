"""The file of the history: what is added is read back, whatever happens to the file is one sentence."""

import errno
import os
import sqlite3
import stat
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.basics.untrusted import Limit
from chaos.errors import OrdealError
from chaos.hosts.lock import locked
from chaos.hosts.places import history_file
from chaos.judge.base import Verdict
from chaos.report.close import close
from chaos.results import run_history
from chaos.results.past import PastRun, past_of
from chaos.results.saved import load
from chaos.results.trend import trends, verdicts
from tests.report.made import RUN, broken, finding, outcome, proven, results
from tests.results.past_made import judged, measured, past, replayed

NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite"


# --- a run becomes one of the history


def test_what_results_say_of_a_run_is_kept_and_read_back(tmp_path: Path, file: Path) -> None:
    made = results(tmp_path)
    made.add(outcome(finding(outage_total_ms=250.5, pods=6, first="w1")))
    made.add(outcome(broken(), control="default-tolerations"))
    made.end()
    kept = past_of(load(tmp_path, RUN), NOW)
    assert run_history.add(file, [kept]) == run_history.Added((RUN,), (), ())
    (run,) = run_history.load(file).runs
    assert run == kept
    assert run.digest == kept.digest
    assert run.green
    assert run.versions == ("1.34.4",)
    hardened, control = run.replays
    assert hardened.findings[0].figures == {"outage_total_ms": 250.5, "pods": 6, "first": "w1"}
    assert (control.control, control.verdict, control.passed) == ("default-tolerations", "violated", True)


def test_a_run_that_goes_on_is_not_added_and_one_that_was_killed_is(tmp_path: Path) -> None:
    made = results(tmp_path)
    made.add(outcome())
    made.begin("test", "mass-termination", cluster="kind", profile="smoke")
    saved = load(tmp_path, RUN)
    with pytest.raises(OrdealError, match="may still go on"):
        past_of(saved, datetime.now(UTC))
    killed = past_of(saved, datetime.now(UTC) + timedelta(days=2))
    assert not killed.ended
    assert not killed.green
    assert [each.verdict for each in killed.replays] == ["held", "unknown"]


def test_a_run_without_a_replay_is_not_added(tmp_path: Path) -> None:
    results(tmp_path).end()
    with pytest.raises(OrdealError, match="nothing was replayed"):
        past_of(load(tmp_path, RUN), NOW)


def test_a_run_that_ends_is_kept_where_that_was_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = proven(tmp_path)
    said: list[str] = []
    close(made.directory, said.append, history=True)
    assert not said
    assert [run.id for run in run_history.load(history_file()).runs] == [RUN]
    history_file().write_bytes(b"damaged")
    close(made.directory, said.append, history=True)
    assert "not kept in the history" in said[0]
    assert (made.directory / "report.html").is_file()


# --- adding


def test_the_same_run_twice_changes_nothing(file: Path) -> None:
    run_history.add(file, [measured(1, 10)])
    before, made = file.read_bytes(), file.stat().st_ino
    assert run_history.add(file, [measured(1, 10)]) == run_history.Added((), (), ("run-0001",))
    assert (file.read_bytes(), file.stat().st_ino) == (before, made)


def test_a_run_that_was_changed_since_is_refused_unless_it_is_to_be_replaced(file: Path) -> None:
    run_history.add(file, [measured(1, 10), measured(2, 10)])
    with pytest.raises(OrdealError, match=r"run-0001 is in the history .* was changed since: --replace"):
        run_history.add(file, [measured(3, 10), measured(1, 99)])
    assert [run.id for run in run_history.load(file).runs] == ["run-0001", "run-0002"], "the other was added by halves"
    added = run_history.add(file, [measured(1, 99), measured(3, 10)], replace=True)
    assert added == run_history.Added(("run-0003",), ("run-0001",), ())
    assert run_history.load(file).runs == (measured(1, 99), measured(2, 10), measured(3, 10))


@settings(max_examples=10)
@given(st.permutations(range(5)), st.integers(1, 4))
def test_the_order_of_adding_does_not_matter(order: list[int], at_once: int) -> None:
    runs = [measured(n, value, verdict) for n, value, verdict in zip(range(5), (5, 1, 4, 1, 3), _VERDICTS, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "history.sqlite"
        for at in range(0, 5, at_once):
            run_history.add(file, [runs[n] for n in order[at : at + at_once]])
        read = run_history.load(file).runs
    assert read == tuple(runs)
    shuffled = [runs[n] for n in order]
    assert trends(shuffled) == trends(runs)
    assert verdicts(shuffled) == verdicts(runs)


_VERDICTS = ("held", "held", "unknown", "violated", "held")


def test_two_that_add_at_once_both_succeed(file: Path) -> None:
    threads = [threading.Thread(target=run_history.add, args=(file, [measured(n, n)])) for n in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(run_history.load(file).runs) == 6


def test_whoever_waits_for_another_one_says_so(file: Path) -> None:
    waits = threading.Event()
    with locked(file.with_name("history.sqlite.lock")):
        thread = threading.Thread(target=run_history.add, args=(file, [measured(1, 1)]), kwargs={"waiting": waits.set})
        thread.start()
        assert waits.wait(60)
        assert not file.exists()
    thread.join()
    assert run_history.load(file).runs


def test_a_file_keeps_who_may_read_it(file: Path) -> None:
    run_history.add(file, [measured(1, 1)])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o640)
    run_history.add(file, [measured(2, 1)])
    assert stat.S_IMODE(file.stat().st_mode) == 0o640


def test_any_sqlite_reads_it(file: Path) -> None:
    run_history.add(file, [measured(1, 12.5)])
    with closing(sqlite3.connect(file)) as opened:
        joined = "figures JOIN findings f ON finding = f.number JOIN replays r ON f.replay = r.number"
        rows = opened.execute(f"SELECT incident, name, value FROM {joined}").fetchall()
    assert rows == [("mass-termination", "longest_outage_ms", 12.5)]


# --- what is wrong with a file


def damage(change: Callable[[sqlite3.Connection], object]) -> Callable[[Path], None]:
    def damaged(file: Path) -> None:
        with closing(sqlite3.connect(file)) as opened, opened:
            change(opened)

    return damaged


def sql(*statements: str) -> Callable[[Path], None]:
    return damage(lambda opened: [opened.execute(each) for each in statements])


def put_link(file: Path) -> None:
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")


def put_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def put_pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def view_instead(opened: sqlite3.Connection) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, '', i FROM n"
    opened.execute("DROP TABLE figures")
    opened.execute(f"CREATE VIEW figures (finding, name, value) AS {endless}")


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a later version": (sql("PRAGMA user_version = 2"), "is of version 2, this version reads 1: use the"),
    "another program's": (sql("PRAGMA application_id = 1"), "is no history of kube-ordeal's"),
    "one more table": (sql("CREATE TABLE more (a)"), "other tables"),
    "an endless view": (damage(view_instead), "other tables"),
    "a trigger": (sql("CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END"), "other tables"),
    "a text for a number": (sql("UPDATE runs SET left_out = 'none'"), "is damaged, or none"),
    "bytes for a text": (sql("UPDATE replays SET why = x'ff'"), "is damaged, or none"),
    "no UTF-8": (sql("UPDATE replays SET why = CAST(x'ff' AS TEXT)"), "is damaged, or none"),
    "an infinite figure": (sql("UPDATE figures SET value = 9e999"), "is damaged, or none"),
    "a time before all times": (sql("UPDATE runs SET started = '0001-01-01T00:00:00Z'"), "is damaged, or none"),
    "a replay of no run": (sql("UPDATE replays SET run = 'x'"), "is damaged, or none"),
    "write-ahead logging": (sql("PRAGMA journal_mode = WAL"), "is damaged, or none"),
    "cut off": (lambda f: f.write_bytes(f.read_bytes()[:9000]), "is damaged, or none"),
    "a page of zeros": (
        lambda f: f.write_bytes(f.read_bytes()[:8192] + bytes(4096) + f.read_bytes()[12288:]),
        "is damaged, or none",
    ),
    "no database": (lambda f: f.write_text("figures, verdicts"), "is damaged, or none"),
    "a link": (put_link, "it is a link"),
    "a folder": (put_folder, "is no regular file"),
    "a pipe": (put_pipe, "is no regular file"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_what_is_wrong_with_the_file_is_told_by_whoever_reads_it_or_adds_to_it(file: Path, what: str) -> None:
    run_history.add(file, [measured(n, n) for n in range(30)])
    change, says = DAMAGES[what]
    change(file)
    with pytest.raises(OrdealError, match=says):
        run_history.load(file)
    with pytest.raises(OrdealError, match=says):
        run_history.add(file, [measured(99, 1)])


def test_where_there_is_none_that_is_told(file: Path) -> None:
    with pytest.raises(OrdealError, match=r"there is no history at .* `kube-ordeal history add RUN` makes it"):
        run_history.load(file)


def test_one_that_is_too_large_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_history.add(file, [measured(1, 1)])
    monkeypatch.setattr(run_history, "HISTORY", Limit(4096, 0))
    with pytest.raises(OrdealError, match="larger than 4 KiB"):
        run_history.load(file)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_what_can_not_be_written_leaves_what_was_there(
    file: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_history.add(file, [measured(1, 1)])
    before = file.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(file))

    monkeypatch.setattr(run_history, "place", full)
    with pytest.raises(OrdealError, match=f"can't be written: {os.strerror(number)}"):
        run_history.add(file, [measured(2, 1)])
    assert file.read_bytes() == before


def test_a_folder_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OrdealError, match="can't be written: "):
        run_history.add(tmp_path / "file" / "history.sqlite", [measured(1, 1)])


def test_the_default_one_is_not_believed_where_anybody_could_have_written_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    run_history.add(history_file(), [measured(1, 1)])
    history_file().parent.chmod(0o755)
    history_file().chmod(0o666)
    with pytest.raises(OrdealError, match="can be written by others"):
        run_history.load(history_file())


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63) + 1, 2**63 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@settings(max_examples=25)
@given(st.dictionaries(TEXTS, NUMBERS | TEXTS, max_size=4), TEXTS, TEXTS)
def test_whatever_texts_and_numbers_there_are_they_are_read_back(
    figures: dict[str, float | int | str], why: str, run: str
) -> None:
    made: PastRun = past(1, replayed(msgspec.structs.replace(judged(), figures=figures), why=why), id=run)
    with tempfile.TemporaryDirectory() as folder:
        run_history.add(Path(folder) / "h", [made])
        assert run_history.load(Path(folder) / "h").runs == (made,)


def test_a_control_that_did_not_show_its_failure_makes_a_run_red() -> None:
    unproven = replayed(judged(), control="default-tolerations", passed=False)
    assert past(1, replayed(judged())).green
    assert not past(1, replayed(judged()), unproven).green
    assert not past(1, replayed(judged()), specs_broken=1).green
    assert replayed().verdict == Verdict.UNKNOWN
