"""The catalogue, the suites and what is written about them say the same."""

import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaos.cli.new import TO_WRITE
from chaos.clusters.abilities import ABILITIES
from chaos.clusters.base import EXISTING, KIND, SIMULATED
from chaos.errors import OrdealError
from chaos.hosts import mutants, workload_recipes
from chaos.hosts.places import suites_dir
from chaos.judge import catalogue
from chaos.judge.catalogue import POSTMORTEMS, Incident, find, incidents
from chaos.run.incident import PLAIN, SHAPES, Load, incident
from chaos.run.suites import by_incident, suites

ROOT = Path(__file__).resolve().parents[2]


def test_ids_are_unique_and_fit_a_command_line() -> None:
    ids = [each.id for each in incidents()]
    assert len(ids) == len(set(ids))
    assert [each for each in ids if not re.fullmatch(r"[a-z][a-z0-9-]*", each)] == []


@pytest.mark.parametrize("each", incidents(), ids=lambda each: each.id)
def test_an_incident_says_all_that_a_reader_needs(each: Incident) -> None:
    assert each.level in {"MUST", "SHOULD", "MAY"}
    assert each.level in each.claim
    assert all((each.title, each.story, each.source, each.remedy, each.versions, each.recognise))
    assert all(sign.command and sign.look_for for sign in each.recognise)
    control_ids = [control.id for control in each.controls]
    assert len(control_ids) == len(set(control_ids))
    assert all(control.what and control.breaks and control.because for control in each.controls)


def test_nothing_is_left_to_write() -> None:
    """`kube-ordeal new incident` marks what its writer has to say."""
    for folder in (ROOT / "chaos" / "subjects", ROOT / "tests" / "subjects", suites_dir()):
        for path in folder.rglob("*.py"):
            assert TO_WRITE not in path.read_text(), f"{path} still says {TO_WRITE}: say what it is, in your own words"


def test_an_incident_names_the_post_mortem_that_its_source_tells_of() -> None:
    assert {each.postmortem for each in incidents()} == {"", *POSTMORTEMS}
    for each in incidents():
        named = [postmortem for postmortem in POSTMORTEMS if f"post-mortem {postmortem} " in each.source]
        assert named == [each.postmortem] * bool(each.postmortem), each.id


def test_every_incident_has_a_suite_and_every_control_is_replayed_by_one() -> None:
    for each, there in by_incident().items():
        assert there, f"no suite replays {each.id}"
        replayed = {control for suite in there for control in suite.replay.controls}
        assert replayed == {control.id for control in each.controls}, each.id
        assert replayed, f"nothing proves that the checks of {each.id} can fail"


def test_suites_that_ask_for_a_shape_say_so() -> None:
    says: dict[str, set[str]] = {}
    for suite in suites():
        says.setdefault(suite.test.split("::")[0], set()).add(suite.replay.shape)
    for file, shapes in says.items():
        text = (suites_dir() / file).read_text()
        assert {shape for shape in SHAPES if f"{shape}_shape(lab" in text} == shapes - {PLAIN}, file


def test_replays_that_fill_the_machine_say_that_they_take_it_alone() -> None:
    """A thousand simulated nodes need all of two cores for their heartbeats, and links are measured by filling them."""
    alone = {suite.test.split("::")[1] for suite in suites() if suite.replay.load is Load.ALONE}
    assert alone >= {
        "test_zones_are_terminated_no_faster_than_documented",
        "test_a_node_outlives_waves_of_pods",
        "test_the_links_between_nodes_are_alike",
        "test_redis_keeps_what_replicas_have_confirmed",
    }


def test_mutants_and_images_that_suites_name_are_there() -> None:
    for suite in suites():
        named = [name for names in suite.replay.mutants.values() for name in names]
        assert all(mutants.find(name).name == name for name in named), suite.test
        assert all(workload_recipes.recipe(name).name == name for name in suite.replay.images), suite.test


def test_suites_name_clusters_and_abilities_that_there_are() -> None:
    for suite in suites():
        assert set(suite.replay.on) <= {KIND, SIMULATED} or suite.replay.on == (EXISTING,), suite.test
        assert suite.replay.on, suite.test
        assert set(suite.replay.needs) <= set(ABILITIES), suite.test


def test_the_table_of_the_readme_is_the_catalogues() -> None:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "docs" / "hooks" / "readme.py")
    assert spec is not None
    assert spec.loader is not None
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    text = (ROOT / "README.md").read_text()
    assert text == readme.renewed(text), "the table of incidents in README.md is stale: run `make readme`"
    assert text == readme.renewed(text.replace(readme.rows()[0], "| `no-such-incident` | a row by hand | | |\n"))
    assert len(readme.rows()) == len(incidents())


def test_find_names_what_there_is() -> None:
    assert find(incidents()[0].id) is incidents()[0]
    with pytest.raises(OrdealError, match=incidents()[-1].id):
        find("no-such-incident")


def test_a_mark_with_an_unknown_incident_or_control_is_refused_when_it_is_written() -> None:
    with pytest.raises(OrdealError, match="no incident 'fire'"):
        incident("fire", on=(KIND,))
    with pytest.raises(OrdealError, match="no control 'petrol'; there are"):
        incident(incidents()[0].id, on=(KIND,), controls=("petrol",))


def test_a_suite_that_cannot_be_imported_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_broken.py").write_text("import no_such_module_here\n")
    with pytest.raises(OrdealError, match=r"test_broken\.py can't be imported.*no_such_module_here"):
        suites(tmp_path)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Puts subjects of a test's own in the place of ours: a folder's name, and what its incident.py says."""
    package = f"made_{tmp_path.name.replace('-', '_')}"
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(catalogue, "SUBJECTS", package)
    incidents.cache_clear()

    def make(**said: str | None) -> None:
        for name, source in {"": None, **said}.items():
            folder = tmp_path / package / name
            folder.mkdir(exist_ok=True)
            (folder / "__init__.py").touch()
            if source is not None:
                (folder / "incident.py").write_text(source)

    yield make
    incidents.cache_clear()


DECLARES = """from dataclasses import replace
from chaos.subjects.handles.incident import INCIDENTS as OTHERS
INCIDENTS = (replace(OTHERS[0], id="fire"),)
"""


def test_a_subject_is_found_by_being_there(made: Callable[..., None]) -> None:
    made(flames=DECLARES, water=DECLARES.replace("fire", "flood"))
    assert [each.id for each in incidents()] == ["fire", "flood"]


@pytest.mark.parametrize(
    ("said", "what"),
    [
        ({"flames": None}, "chaos/subjects/flames has no incident.py, which says what happened"),
        ({"flames": "INCIDENT = 1"}, "chaos/subjects/flames/incident.py has no INCIDENTS: add it"),
        ({"flames": DECLARES, "smoke": DECLARES}, "'fire' is in chaos/subjects/flames and in chaos/subjects/smoke"),
    ],
)
def test_what_a_subject_lacks_is_said_in_a_sentence(
    made: Callable[..., None], said: dict[str, str | None], what: str
) -> None:
    made(**said)
    with pytest.raises(OrdealError, match=re.escape(what)):
        incidents()
