"""Kinds of records: who may have which, and what becomes of those that are not known."""

import json
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import msgspec
import pytest

from chaos.errors import OrdealError
from chaos.judge.base import Invariant, Verdict, held, judge
from chaos.record import registry
from chaos.record.history import History, UnreadError
from chaos.record.records import FaultStep, Observation, Phase, Unread
from chaos.record.registry import Record, Seconds, kinds, load_all, record
from chaos.report.timeline import timeline


class Heard(msgspec.Struct, frozen=True, gc=False):
    """A record as a subject has one, which older versions kept as an Observation "heard"."""

    kind: ClassVar[str] = "heard"
    version: ClassVar[int] = 1
    at: Seconds
    node: str
    words: tuple[str, ...] = ()

    @property
    def object(self) -> str:
        return self.node

    def told(self) -> str:
        return " ".join(self.words)

    @classmethod
    def of_observation(cls, old: Observation) -> "Heard":
        if not old.seen:
            raise ValueError("nothing was heard")
        return cls(old.at, old.subject, tuple(old.seen.split()))


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> type[Heard]:
    """It is registered for as long as the test lasts."""
    load_all()
    monkeypatch.setattr(registry, "_KINDS", dict(kinds()))
    return record(Heard)


def lines_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(path: Path, *lines: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def line(kind: str, data: dict[str, object], at: float = 1.0, **more: object) -> dict[str, object]:
    return {"at": at, "wall": at, "source": "sampler", "kind": kind, "object": "n", "data": data, **more}


def test_each_kind_has_what_a_record_has() -> None:
    load_all()
    for kind, made in kinds().items():
        assert issubclass(made, msgspec.Struct)
        assert made.__struct_config__.frozen, kind
        assert made.kind == kind
        assert made.version >= 1
        assert made.__struct_fields__[0] == "at"
        assert made.__doc__


def test_two_with_one_kind_are_refused_with_both_files_and_what_to_do(
    heard: type[Heard], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ModuleType("other")
    other.__file__ = "/chaos/subjects/other/records.py"
    monkeypatch.setitem(__import__("sys").modules, "other", other)
    twin = type("Heard", (), {"kind": "heard", "version": 1, "__module__": "other"})
    with pytest.raises(OrdealError) as refused:
        record(twin)
    assert str(refused.value) == (
        f"{__file__} and /chaos/subjects/other/records.py both register the record kind 'heard': "
        "give Heard in the second one another kind"
    )
    assert kinds()["heard"] is heard


def test_a_subject_may_not_take_a_kind_of_the_framework() -> None:
    with pytest.raises(OrdealError, match=r"records\.py and .*test_registry\.py both register the record kind 'pod'"):
        record(type("Mine", (), {"kind": "pod", "version": 1, "__module__": __name__}))


def test_the_same_file_again_takes_its_own_place(heard: type[Heard]) -> None:
    assert record(heard) is heard


@pytest.mark.usefixtures("heard")
def test_a_subjects_record_comes_back_from_disk(tmp_path: Path) -> None:
    history = History(tmp_path / "h.jsonl", began_wall=1.7e9)
    history.add(Heard(1.5, "n", ("a", "b")))
    history.close()
    (said,) = lines_of(tmp_path / "h.jsonl")
    assert said == {
        "at": 1.5,
        "wall": 1.7e9 + 1.5,
        "source": "sampler",
        "kind": "heard",
        "object": "n",
        "data": {"node": "n", "words": ["a", "b"]},
    }
    assert History.load(tmp_path / "h.jsonl").of(Heard) == [Heard(1.5, "n", ("a", "b"))]


@pytest.mark.usefixtures("heard")
def test_secrets_are_taken_out_of_all_that_a_subjects_record_says() -> None:
    history = History.of_records([Heard(1.0, "n", ("--password=hunter22", "b"))])
    assert history.of(Heard) == [Heard(1.0, "n", ("--password=(removed)", "b"))]
    without = Heard(2.0, "n", ("a", "b"))
    history.add(without)
    assert history.of(Heard)[-1] is without


@pytest.mark.usefixtures("heard")
def test_an_observation_of_an_older_version_is_read_as_what_it_is_now(tmp_path: Path) -> None:
    old = line("observation", {"name": "heard", "subject": "n", "seen": "a b"})
    history = History.load(written(tmp_path / "h.jsonl", old))
    assert history.of(Heard) == [Heard(1.0, "n", ("a", "b"))]
    assert history.of(Observation) == []


@pytest.mark.usefixtures("heard")
def test_one_that_no_version_wrote_is_shown_and_not_judged_by(tmp_path: Path) -> None:
    good = line("observation", {"name": "heard", "subject": "n", "seen": "a b"})
    bad = line("observation", {"name": "heard", "subject": "n", "seen": ""}, at=2.0)
    history = History.load(written(tmp_path / "h.jsonl", good, bad))
    assert history.of(Observation) == [Observation(2.0, "heard", "n", "")]
    with pytest.raises(UnreadError, match="its 'heard' records can't be read"):
        history.of(Heard)
    assert [(s.what, s.detail) for s in timeline(history).steps] == [("heard of n", "a b"), ("heard of n", "")]


@pytest.mark.usefixtures("heard")
def test_an_observation_by_a_records_name_is_refused_where_it_is_made() -> None:
    with pytest.raises(OrdealError, match=r"'heard' is a record of tests.record.test_registry: add a Heard, or give"):
        History().add(Observation(1.0, "heard", "n", "a"))


def test_a_kind_that_is_not_known_is_kept_and_judged_around(tmp_path: Path) -> None:
    path = written(tmp_path / "h.jsonl", line("smelled", {"of": "smoke"}), line("phase", {"name": "hold"}, at=2.0))
    history = History.load(path)
    kept: list[Record] = [Unread(1.0, "smelled", 1, "n", '{"of": "smoke"}'), Phase(2.0, "hold")]
    assert list(history) == kept
    assert [p.name for p in history.of(Phase)] == ["hold"]
    assert [s.what for s in timeline(history).steps] == ["smelled of n", "phase hold"]


@pytest.mark.usefixtures("heard")
def test_a_newer_version_of_a_record_is_kept_and_whoever_judges_by_it_does_not_know(tmp_path: Path) -> None:
    newer = line("heard", {"node": "n", "loud": True}, version=2)
    history = History.load(written(tmp_path / "h.jsonl", newer, line("fault", {"fault": "f", "step": "landed"}, 2.0)))
    assert history.of(FaultStep) == [FaultStep(2.0, "f", "landed")]

    def by_what_was_heard(history: History) -> object:
        return held(f"{len(history.of(Heard))} were heard")

    found = judge(Invariant("quiet", by_what_was_heard), history)  # type: ignore[arg-type]
    assert found.verdict is Verdict.UNKNOWN
    assert found.sentence == (
        "its 'heard' records can't be read (they are of version 2, and 1 is known here): "
        "judge it by the version that made it"
    )
    assert [s.what for s in timeline(history).steps] == ["heard of n", "fault f landed"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"at": "1"}, "Expected `float`, got `str`"),
        ({"at": 1e30}, "Expected `float` <= 1000000000.0"),
        ({"wall": 5.0}, "its clocks differ"),
        ({"version": "2"}, "Expected `int"),
    ],
)
def test_what_is_not_known_is_a_line_all_the_same(tmp_path: Path, change: dict[str, object], says: str) -> None:
    path = written(tmp_path / "h.jsonl", line("phase", {"name": "a"}), line("smelled", {}, 2.0) | change)
    with pytest.raises(OrdealError, match=says):
        History.load(path)


def test_a_name_that_is_there_twice_is_refused_in_what_is_not_known_too(tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").write_text('{"at":1.0,"wall":1.0,"kind":"smelled","data":{"a":1,"a":2}}\n{"at":2')
    with pytest.raises(OrdealError, match="line 1 is not a history record"):
        History.load(tmp_path / "h.jsonl")
