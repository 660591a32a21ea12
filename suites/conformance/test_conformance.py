"""Upstream's end-to-end specs, each a test of its own. Which: --ordeal-profile, --ordeal-specs, --ordeal-focus."""

from chaos.conformance.pytest_specs import Specs, upstreams
from chaos.conformance.spec import Spec


@upstreams
def test_spec(spec: Spec, specs: Specs) -> None:
    specs.check(spec)
