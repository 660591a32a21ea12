"""Upstream's end-to-end specs, each a test of its own; which ones is said by --profile, --specs or --focus."""

from chaos.conformance.pytest_specs import Specs
from chaos.conformance.spec import Spec


def test_spec(spec: Spec, specs: Specs) -> None:
    specs.check(spec)
