"""The pytest plugin's entry point. Every pytest of an environment loads it, so it imports and does next to nothing.

It adds the options, and wakes the rest (chaos.session.hooks) in a run of ours, which is one in which

- one of our options was given, or
- an argument names our suites, or something in them, or
- a conftest names this plugin (`pytest_plugins`), or
- an incident or upstream's specs are collected, in this process or in one that pytest-xdist started.

All but the last are told before pytest-xdist starts anything: a run that only shows by what its processes collect has
as many of them as pytest-xdist counts for `-n auto`, and is the same in all else. In any other run nothing of ours is
active.
"""

import os
import tempfile
from collections.abc import Generator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from chaos.basics import system
from chaos.hosts.places import beside, suites_dir
from chaos.run import old_names, options
from chaos.run.mark import is_marked
from chaos.session import running

RUN_ID = pytest.StashKey[str]()
FOUND = pytest.StashKey[Path]()  # a file that is there where another process has collected a test of ours
_REST = "chaos.session.hooks"
_RUN_ID_KEY, _FOUND_KEY = "kube_ordeal_run", "kube_ordeal_found"


def pytest_addoption(parser: pytest.Parser) -> None:
    """All options; none has a name that another plugin may have."""
    options.add(parser)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(parser: pytest.Parser, args: list[str]) -> Generator[None, object, object]:
    """Old names of options become new ones, once every plugin and conftest has added its own."""
    result = yield
    if old_names.are_in(args):
        args[:] = old_names.translated(args, lambda name: old_names.is_free(parser, name))
    return result


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """Before pytest-xdist looks at how many processes there are to be."""
    if config.option.pyargs:
        config.args[:] = [running.imported(each) or each for each in config.args]
        if all(Path(each.partition("::")[0]).is_relative_to(suites_dir()) for each in config.args):
            config._rootpath = beside()  # as in a checkout: tests are named by their path below it
    if options.is_any_given(config) or _names_suites(config) or _is_named(config):
        if why := system.why_not():
            raise pytest.UsageError(why)
        wake(config)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> None:
    """Before pytest makes a test of what it found."""
    if is_marked(obj):
        if why := system.why_not():
            raise pytest.Collector.CollectError(why)
        wake(collector.config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Every process of one run writes into the same results; each tells this one where it has collected one of ours."""
    node.workerinput[_RUN_ID_KEY] = run_id(node.config)
    if not is_awake(node.config):
        unused = Path(tempfile.gettempdir()) / f"kube-ordeal-{os.urandom(8).hex()}"
        node.workerinput[_FOUND_KEY] = str(node.config.stash.setdefault(FOUND, unused))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: Any) -> None:
    """What the processes collect, this one never sees, but for its names."""
    if not is_awake(node.config) and node.config.stash[FOUND].exists():
        wake(node.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Nothing is left of it."""
    if FOUND in config.stash:
        config.stash[FOUND].unlink(missing_ok=True)


def run_id(config: pytest.Config) -> str:
    """The id of this run; the same in all of its processes."""
    given = worker_input(config, _RUN_ID_KEY)
    return config.stash.setdefault(RUN_ID, given or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{os.urandom(2).hex()}")


def is_awake(config: pytest.Config) -> bool:
    """Whether this is known to be a run of ours."""
    return config.pluginmanager.has_plugin(_REST)


def wake(config: pytest.Config) -> None:
    """This is a run of ours. Safe to repeat."""
    if not is_awake(config):
        from chaos.session import hooks as session  # noqa: PLC0415  (it takes seconds, and other people's tests don't need it)

        session.begin(config)
        if found := worker_input(config, _FOUND_KEY):
            with suppress(OSError):  # a full disk: the run goes on by pytest-xdist's own rules
                Path(found).touch()


def worker_input(config: pytest.Config, key: str) -> str:
    """What the controlling process told this one; empty where this is no worker of pytest-xdist."""
    return str(getattr(config, "workerinput", {}).get(key, ""))


def _names_suites(config: pytest.Config) -> bool:
    """Whether an argument names our suites, or something in them."""
    here, ours = config.invocation_params.dir, suites_dir()
    package = __name__.partition(".")[0]
    for argument in config.args:
        named = argument.partition("::")[0]
        if Path(os.path.realpath(here / named)).is_relative_to(ours):
            return True
        if config.option.pyargs and named.partition(".")[0] == package and not Path(named).exists():
            return True
    return False


def _is_named(config: pytest.Config) -> bool:
    """Whether a conftest names this plugin."""
    conftests = [
        each
        for each in config.pluginmanager.get_plugins()
        if isinstance(each, ModuleType) and Path(getattr(each, "__file__", "") or "").name == "conftest.py"
    ]
    named = [vars(each).get("pytest_plugins") for each in conftests]  # a name, some names, or what pytest overlooks
    return any(__name__ in (each if isinstance(each, (list, tuple, set)) else [each]) for each in named)
