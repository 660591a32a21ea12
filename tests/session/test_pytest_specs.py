"""Specs as pytest items, without a cluster: what is collected, what is refused, and what is said without e2e.test."""

import sys
from pathlib import Path

import psutil
import pytest

from chaos.harm import load_all
from chaos.judge.conformance import LOST
from chaos.results.saved import load
from tests.conformance import fake_e2e
from tests.fake_apiserver import FakeApiServer

pytest_plugins = ["pytester"]
load_all()  # the inner runs share this process: what they import anew they would register twice

SUITE = """
from chaos.session.pytest_specs import upstreams

@upstreams
def test_spec(spec, specs):
    specs.check(spec)
"""


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    folder = pytester.path / "conformance"
    folder.mkdir(exist_ok=True)
    (folder / "test_specs.py").write_text(SUITE)
    return pytester.runpytest_inprocess("-p", "no:hypothesispytest", "-p", "no:cacheprovider", *options)


def collected(pytester: pytest.Pytester, *options: str) -> list[str]:
    done = run(pytester, "--collect-only", "-q", "--strict-markers", *options)
    return [line.partition("[")[2].removesuffix("]") for line in done.outlines if "::test_spec[" in line]


def test_smoke_is_collected_without_e2e_test_and_chosen_by_label_and_name(pytester: pytest.Pytester) -> None:
    assert len(collected(pytester)) == 25
    assert {each.partition("-")[0] for each in collected(pytester, "-m", "network and not serial")} == {"network"}
    assert len(collected(pytester, "-m", "serial")) == 2
    assert len(collected(pytester, "-k", "nodeport")) == 1
    assert not collected(pytester, "-m", "not spec")


def test_specs_that_only_e2e_test_can_name_are_one_item_that_says_how_to_get_it(pytester: pytest.Pytester) -> None:
    assert collected(pytester, "--ordeal-profile", "full") == ["not-listed"]
    done = run(pytester, "--ordeal-profile", "full", "conformance")
    done.assert_outcomes(failed=1)
    assert "`kube-ordeal conformance build --kubernetes 1.34.4` makes it" in done.stdout.str()


def test_without_e2e_test_specs_are_skipped_where_nobody_asked_for_them(pytester: pytest.Pytester) -> None:
    done = run(pytester, "-rs", "-k", "nodeport")
    done.assert_outcomes(skipped=1, deselected=24)
    assert "e2e.test of Kubernetes 1.34.4 is not built" in done.stdout.str()


def test_without_e2e_test_specs_that_were_asked_for_are_unknown(pytester: pytest.Pytester) -> None:
    done = run(pytester, "-k", "nodeport", "conformance")
    done.assert_outcomes(failed=1, deselected=24)
    assert "unknown: e2e.test of Kubernetes 1.34.4 is not built" in done.stdout.str()


def test_on_a_simulated_cluster_none_is_run(pytester: pytest.Pytester) -> None:
    done = run(pytester, "--ordeal-cluster", "simulated", "-k", "nodeport")
    done.assert_outcomes(skipped=1, deselected=24)


def test_a_managed_clusters_version_is_taken_without_its_vendors_mark(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    with FakeApiServer(tmp_path, tls=True) as api:
        api.version_said = "v1.34.4-eks-a737599"
        existing = ("--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(api.kubeconfig))
        done = run(pytester, *existing, "--ordeal-profile", "full", "conformance")
    done.assert_outcomes(failed=1)
    assert "`kube-ordeal conformance build --kubernetes 1.34.4` makes it" in done.stdout.str()


def test_a_limit_in_the_middle_of_a_spec_leaves_that_one_unknown_and_ends_it(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    program = tmp_path / "e2e.test"
    program.write_text(f"#!{sys.executable} -S\n{Path(fake_e2e.__file__).read_text()}")
    program.chmod(0o755)
    with FakeApiServer(tmp_path, tls=True) as api:
        api.version_said = "v9.9.9"
        existing = ("--ordeal-cluster", "existing", "--ordeal-kubeconfig", str(api.kubeconfig))
        given = (*existing, "--ordeal-profile", "full", "--ordeal-e2e-test", str(program), "--timeout", "3")
        done = run(pytester, *given, "-k", "should-hang", "conformance")
    done.assert_outcomes(failed=1, deselected=6)
    assert "unknown, no result: timed out after 3 s" in done.stdout.str()
    states = {each.spec: each.state for each in load(pytester.path / "results").own_specs}
    assert states == {fake_e2e.SPECS[3][0]: LOST}
    assert not [each for each in psutil.process_iter(["cmdline"]) if str(program) in (each.info["cmdline"] or ())]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--ordeal-focus", "("), "is no regular expression"),
        (("--ordeal-focus", "DNS", "--ordeal-specs", "all"), "leave --ordeal-specs out"),
        (("--ordeal-spec-processes", "0"), "--ordeal-spec-processes is 1 or more"),
        (("--ordeal-spec-timeout", "-5"), "--ordeal-spec-timeout is a number of seconds above 0"),
        (("--ordeal-spec-timeout", "nan"), "--ordeal-spec-timeout is a number of seconds above 0"),
    ],
)
def test_wrong_options_end_with_a_sentence(pytester: pytest.Pytester, options: tuple[str, ...], said: str) -> None:
    done = run(pytester, *options)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    assert said in done.stderr.str()
