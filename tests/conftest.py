"""What every test here needs of the process that runs it."""

import os
import signal
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import HealthCheck, settings

from chaos.hosts import engine
from tests.hosts.fake_docker import FakeDocker
from tests.moments import (  # noqa: F401  (pytest's hooks, and a fixture)
    moments,
    pytest_addoption,
    pytest_configure_node,
    pytest_generate_tests,
    pytest_report_header,
)

# A shell starts what is to run in the background with SIGINT ignored, nohup does so with SIGHUP, and every child
# inherits that: the tests that end a child by it would wait for it in vain.
for number, default in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, default)

# No test may depend on how fast the machine is at that moment. What else the profile says (in CI another one) stays.
settings.register_profile("noisy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy")

# For these tests alone: a replay is not to fail for what a user's other packages warn of.
# An API server that dies resets connections before their TLS handshake; ssl.SSLSocket._create then leaves the socket
# (which has no remote address any more) to the garbage collector.
LEFT_SOCKET = r"Exception ignored in. <ssl.SSLSocket fd=\d+, family=\d+, type=1, proto=\d+, laddr=\('[0-9.]+', \d+\)>"
HERE, NOWHERE = Path(__file__).parent, "unix:///nowhere/docker.sock"
FILTERS = ("error", f"ignore:{LEFT_SOCKET}:pytest.PytestUnraisableExceptionWarning")


def pytest_configure(config: pytest.Config) -> None:
    """A warning is an error."""
    for each in FILTERS:
        config.addinivalue_line("filterwarnings", each)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The folder for temporary files is empty when the tests of this process are over."""
    folder = tmp_path_factory.mktemp("tmp")
    with mock.patch.dict(os.environ, TMPDIR=str(folder)), mock.patch.object(tempfile, "tempdir", None):
        yield
    # A pytest in a pytest keeps the folders of its last three runs, as pytest does.
    assert not [each for each in folder.iterdir() if not each.name.startswith("pytest-of-")], (
        "temporary files were left"
    )


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """A unit test, with its fixtures of any scope, finds no container engine, whatever runs on this machine."""
    with pytest.MonkeyPatch.context() as patch:
        if item.path.is_relative_to(HERE) and item.get_closest_marker("integration") is None:
            patch.setenv("DOCKER_HOST", NOWHERE)
        return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """The last one closes what integration tests of the same run have: that takes the engine."""
    if nextitem is None and os.environ.get("DOCKER_HOST") == NOWHERE:
        del os.environ["DOCKER_HOST"]


@pytest.fixture
def docker_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDocker]:
    """The one client of this machine. Before it a client is asked that the engine refuses."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    refused = FakeDocker(tmp_path / "first").install(version="echo 'permission denied' >&2; exit 1")
    made = FakeDocker(tmp_path / "second").install()
    monkeypatch.setattr(engine, "clients", lambda: [refused.client, made.client])
    monkeypatch.setattr(engine, "SOCKET", tmp_path / "docker.sock")
    monkeypatch.setenv("PATH", f"{refused.folder}:/usr/sbin:/usr/bin:/sbin:/bin")
    engine.chosen.cache_clear()
    engine.runs_here.cache_clear()
    yield made
    engine.chosen.cache_clear()
    engine.runs_here.cache_clear()
    assert refused.calls == []  # all who run `docker` run the client that was chosen
