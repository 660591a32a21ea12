"""pytest's side of --ordeal-plan: nothing is replayed, and what a run would make of each replay is told instead.

It ends with 0 where at least one replay or spec would run, and with 1 where none would: nothing to harm is no pass.
"""

import json
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import cache

import pytest

from chaos.clusters.abilities import LoadsImages
from chaos.clusters.base import EXISTING, KIND, Cluster
from chaos.clusters.existing.cluster import require_all_rights
from chaos.clusters.kind import ready
from chaos.clusters.shape import Shape
from chaos.conformance import program
from chaos.errors import OrdealError
from chaos.harm import load_all
from chaos.hosts import engine
from chaos.hosts.bundles import normal_version
from chaos.plugin import run_id
from chaos.run import case, ground, undo
from chaos.run.ground import Ground
from chaos.run.lab import Lab
from chaos.run.options import Options, options_of
from chaos.run.profile import find as find_profile
from chaos.run.prospect import Fate, Prospect, prospect, skipped
from chaos.run.rehearsal import Terms
from chaos.session.candidates import builds_of, is_built, lacking_steps
from chaos.session.prospect_text import WIDEST, RunPlan, as_json, last_line, lines_of
from chaos.session.pytest_specs import is_spec
from chaos.session.run import HOW_TO_UNDO, stop_command_of, wishes_of
from chaos.setup import room

PLANNED = pytest.StashKey[RunPlan]()


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Where the plan is for programs, standard output has nothing else."""
    if options_of(config).plan_json and config.pluginmanager.hasplugin("terminalreporter"):
        config.get_terminal_writer()._file = sys.stderr


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """In the place of the run."""
    config = session.config
    asked = options_of(config)
    if not asked.plan:
        return None
    if not session.items or (session.testsfailed and not config.option.continue_on_collection_errors):
        return None  # pytest runs nothing, and says that nothing was collected, or what could not be
    config.option.collectonly = True  # it says at the end what was collected, and not that nothing was run
    made = config.stash[PLANNED] = plan(asked, run_id(config), session.items)
    if asked.plan_json:
        _write(config, json.dumps(as_json(made), indent=2))
        return True
    terminal = config.pluginmanager.getplugin("terminalreporter")
    for each in [last_line(made)] if config.getoption("verbose", 0) < 0 else lines_of(made, _width(config)):
        _write(config, each) if terminal is None else terminal.write_line(each)
    return True


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """No target is never a pass."""
    made = session.config.stash.get(PLANNED, None)
    if made is not None and not made.runs and not session.exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def plan(asked: Options, run: str, items: Sequence[pytest.Item]) -> RunPlan:
    """What a run of these tests would do now. Changes nothing but what kernels forget at once."""
    load_all()
    cases = [this for item in items if (this := case.of_item(item)) is not None]
    kinds, existing = {each.cluster for each in cases}, asked.cluster == EXISTING
    blocked, there = list(_blocked(asked, run, kinds, len(cases))), None
    try:
        there = ground.look(wishes_of(asked)) if existing else None
    except OrdealError as error:
        blocked.append(str(error))
    terms = _terms(asked, there, next(reversed(blocked), ""))
    blocked += there.blocked if there is not None else ()
    blocked += _stopped(asked) if there is not None else ()
    replays = [each for item in items if (each := _prospect(item, terms, there, next(iter(blocked), ""))) is not None]
    runs = {each.test for each in replays if each.fate is Fate.RUNS}
    specs = sum(map(is_spec, items))
    return RunPlan(
        "" if existing else terms.kubernetes,
        there,
        asked.agent_image if existing else "",
        lacking_steps(asked, kinds),
        tuple(blocked),
        tuple(replays),
        _builds([item for item in items if item.nodeid in runs], asked, there),
        specs,
        len(items) - specs - len(replays),
    )


def _blocked(asked: Options, run: str, kinds: set[str], replays: int) -> Iterator[str]:
    """What keeps any run from beginning here, whatever its cluster."""
    try:
        if not asked.undo:
            undo.require_nothing_left(run, HOW_TO_UNDO)
        room.check(room.look(asked.results, kinds, replays), lambda _: None)
    except OrdealError as error:
        yield str(error)


def _stopped(asked: Options) -> Iterator[str]:
    """The user's own command that ends all harm is asked as before the first one."""
    command = stop_command_of(asked)
    if command is not None and (why := command.ends(threading.Event())):
        yield why


def _prospect(item: pytest.Item, terms: Terms, there: Ground | None, blocked: str) -> Prospect | None:
    """None for a test that replays nothing."""
    replay, this = case.replay_of_item(item), case.of_item(item)
    if replay is None or this is None:
        return None
    mark = item.get_closest_marker("skip")
    if mark is not None:
        why = str(mark.kwargs.get("reason") or next(iter(mark.args), "it is marked so"))
        return skipped(item.nodeid, replay, this, why)
    function: Callable[[Lab], None] = getattr(item, "obj")  # noqa: B009  (a method has its instance there)
    on = there if this.cluster == EXISTING else None
    return prospect(item.nodeid, function, replay, this, terms, on, blocked)


def _terms(asked: Options, there: Ground | None, why_none: str) -> Terms:
    """`why_none`: why there is no existing cluster."""

    @cache
    def why_no_kind() -> str:
        try:
            ready.kind_setup(version, asked.kind_image, asked.kind_bin, asked.kubectl_bin, asked.busybox_image)
        except OrdealError as error:
            return str(error)
        return ""

    def make(kind: str) -> None:
        if kind == KIND and not asked.setup and (why := why_no_kind()):
            raise OrdealError(why)

    def cluster(shape: Shape) -> Cluster:
        if there is None:
            raise OrdealError(why_none)
        return there.cluster(shape)

    @cache
    def lacking_specs(version: str) -> str:
        if why := program.lacking(version):
            return why
        try:
            if there is not None and there.in_reach.there is not None:
                require_all_rights(there.in_reach.there, "upstream's specs")
        except OrdealError as error:
            return str(error)
        return ""

    version = normal_version(asked.kubernetes)
    return Terms(
        find_profile(asked.profile),
        version,
        cluster,
        make,
        lacking_specs,
        image_is_given=bool(asked.kind_image),
        images=asked.images,
        storage_class=asked.storage_class,
        upgrade_to=asked.upgrade_to,
    )


def _builds(items: Sequence[pytest.Item], asked: Options, there: Ground | None) -> tuple[str, ...]:
    """What these replays build when they first need it. Nodes that pull images themselves are built none."""
    pulled = there is not None and LoadsImages not in there.in_reach.abilities
    version, running = normal_version(asked.kubernetes), engine.find()
    wanted = dict.fromkeys(each for item in items for each in builds_of(item))
    given = {f"image {name}" for name in asked.images}
    mine = (each for each in wanted if each not in given and not (pulled and each.startswith("image ")))
    return tuple(each for each in mine if not is_built(each, version, running))


def _width(config: pytest.Config) -> int:
    return config.get_terminal_writer().fullwidth if config.pluginmanager.hasplugin("terminalreporter") else WIDEST


def _write(config: pytest.Config, text: str) -> None:
    """To standard output, past pytest's capture."""
    capture = config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled() if capture is not None else nullcontext():
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
