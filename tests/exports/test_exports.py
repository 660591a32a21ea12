"""What a run's options ask for, before and after it; whatever happens there, the run is none the worse."""

from dataclasses import replace
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.exports import exports as exports_module
from chaos.exports.exports import WITHIN_S, Exports, exports_of
from chaos.hosts import extras
from chaos.results.saved import SavedRun
from chaos.run.options import OTLP_ENDPOINT, Options, chosen
from tests.canaries import CANARY
from tests.nasty import NASTY, acts
from tests.report.made import proven

NOTHING = chosen(lambda _: None)


def asked(**options: str) -> Options:
    return replace(NOTHING, **options)  # type: ignore[arg-type]


class Raising:
    """An export that does what none may."""

    hears_replays = True

    def replay_ended(self, run: SavedRun, test: str) -> None:
        raise ZeroDivisionError

    def run_ended(self, run: SavedRun, within_s: float) -> str:
        raise ZeroDivisionError


class Waiting:
    """One that keeps what it was given."""

    def __init__(self, *, hears_replays: bool = True) -> None:
        self.hears_replays = hears_replays
        self.told: list[tuple[str, str]] = []
        self.within_s = -1.0

    def replay_ended(self, run: SavedRun, test: str) -> None:
        self.told.append((run.id, test))

    def run_ended(self, run: SavedRun, within_s: float) -> str:
        self.within_s = within_s
        return f"it came to nothing: {NASTY} password={CANARY}"


def test_nothing_is_told_where_nothing_is_asked_for(tmp_path: Path) -> None:
    exports = exports_of(NOTHING, {OTLP_ENDPOINT: "http://host"})
    assert not exports
    exports.replay_ended(tmp_path, "t")
    assert exports.run_ended(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"otlp": "suites/"}, "--ordeal-otlp names no URL"),
        ({"otlp": OTLP_ENDPOINT}, "the environment has no OTEL_EXPORTER_OTLP_ENDPOINT"),
        ({"metrics": "ftp://host"}, "--ordeal-metrics names no URL"),
    ],
)
def test_what_can_not_be_is_refused(options: dict[str, str], says: str) -> None:
    with pytest.raises(OrdealError, match=says):
        exports_of(asked(**options), {})


@pytest.mark.parametrize(
    ("options", "extra"), [({"otlp": "http://host"}, extras.OTEL), ({"metrics": "a.prom"}, extras.METRICS)]
)
def test_an_extra_that_lacks_is_told_before_anything_is_done(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, str], extra: str
) -> None:
    monkeypatch.setitem(extras.MODULES, extra, ("no_such.module",))
    with pytest.raises(OrdealError, match=rf"can't be had: no_such.module is not installed; .*kube-ordeal\[{extra}\]"):
        exports_of(asked(**options), {})


def test_an_export_that_fails_is_a_sentence_and_the_others_go_on(tmp_path: Path) -> None:
    directory, other = proven(tmp_path).directory, Waiting()
    exports = Exports(Raising(), other)
    exports.replay_ended(directory, "t")
    failed, said = exports.run_ended(directory)
    assert failed == "an export failed (ZeroDivisionError)"
    assert other.told == [(directory.name, "t")]
    assert 0 < other.within_s <= WITHIN_S
    assert CANARY not in said
    assert acts(said, one_line=True) == ""


def test_results_that_can_not_be_read_are_one_sentence(tmp_path: Path) -> None:
    made, other = proven(tmp_path), Waiting()
    exports = Exports(other)
    made.path.write_text("{}")
    exports.replay_ended(made.directory, "t")
    (said,) = exports.run_ended(made.directory)
    assert said.startswith("what others are told of the run is not whole: the results at")
    assert other.told == []


def test_where_nobody_hears_of_replays_no_results_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    monkeypatch.setattr(exports_module, "load", lambda *_: read.append(tmp_path))
    exports = Exports(Waiting(hears_replays=False))
    assert not exports.hears_replays
    exports.replay_ended(tmp_path, "t")
    assert read == []


def test_what_could_be_read_at_the_end_is_told_then(tmp_path: Path) -> None:
    made, other = proven(tmp_path), Waiting()
    exports, whole = Exports(other), made.path.read_text()
    made.path.write_text("{")  # as of a disk that was full
    exports.replay_ended(made.directory, "t")
    made.path.write_text(whole)
    (said,) = exports.run_ended(made.directory)
    assert said.startswith("it came to nothing")
