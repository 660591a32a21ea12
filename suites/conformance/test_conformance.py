"""Upstream's end-to-end specs, each a test of its own. Which: --ordeal-profile, --ordeal-specs, --ordeal-focus."""

from chaos.conformance.spec import Spec
from chaos.session.pytest_specs import Specs, upstreams


@upstreams
def test_spec(spec: Spec, specs: Specs) -> None:
    specs.check(spec)
