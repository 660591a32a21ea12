"""No test of set-up reads, ends or starts an engine of this machine."""

from tests.hosts.conftest import no_engine_of_this_machine  # noqa: F401  (a fixture)
