"""What every test here needs of the process that runs it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from chaos.hosts import daemon

# A shell starts what is to run in the background with SIGINT ignored, and every child inherits that: the tests that
# interrupt a child would wait for it in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test may depend on how fast the machine is at that moment. What else the profile says (in CI another one) stays.
settings.register_profile("noisy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy")


@pytest.fixture(autouse=True)
def _no_engine_of_this_machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """The container engine that runs on this machine is nobody's here, but for the tests of the whole."""
    if request.node.get_closest_marker("integration") is not None:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(daemon, "PID_FILE", Path("/nonexistent/docker.pid"))
        patch.setattr(daemon, "_orphaned_containers", lambda: False)
        yield
