"""A run whose kills came at a bad moment can be had again."""

from pathlib import Path

import pytest

from tests.moments import Moments

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[1]
TEST = "tests/test_it.py::test_it[cut-1]"


FIRST_OF_7 = 0.988159


def drawn(seed: int, test: str = TEST) -> list[float]:
    moments = Moments(seed, test)
    return [moments.second(3.0), float(moments.number(2, 60)), moments.second(12.0)]


def test_the_same_seed_gives_a_test_the_same_moments() -> None:
    assert drawn(7) == drawn(7)
    assert round(drawn(7)[0], 6) == FIRST_OF_7, "also in another process and another week"


def test_another_seed_and_another_test_have_others() -> None:
    assert len({*drawn(7), *drawn(8), *drawn(7, TEST.replace("-1]", "-2]"))}) == 9


def test_they_are_within_their_bounds_and_come_in_all_parts_of_them() -> None:
    each = [Moments(seed, TEST) for seed in range(200)]
    seconds, numbers = [m.second(3.0) for m in each], {m.number(2, 6) for m in each}
    assert {int(s) for s in seconds} == {0, 1, 2}
    assert numbers == {2, 3, 4, 5}


def test_how_to_have_them_again_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    drawn(7)
    first, second, _ = capsys.readouterr().out.splitlines()
    assert first == f"the moment of the kill: {FIRST_OF_7} s of 3 s; --kill-seed 7 has it again"
    assert second.endswith(" of 2 to 59; --kill-seed 7 has it again")


CONFTEST = "from tests.moments import moments, pytest_addoption, pytest_configure_node, pytest_report_header"
KILLS = "import pytest\n@pytest.mark.parametrize('i', range(4))\ndef test_it(moments, i): assert moments.second(3) < 0"


def test_a_red_run_tells_its_seed_and_is_repeated_by_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one with two processes, which must have one seed."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # three processes would load each of them
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_it=KILLS)
    red = pytester.runpytest_subprocess("-p", "xdist", "-n", "2")
    (header,) = [line for line in red.outlines if line.startswith("kill seed: ")]
    seed = header.split()[2]
    assert header == f"kill seed: {seed} (--kill-seed {seed} has the moments of its kills again)"
    again = pytester.runpytest_inprocess("--kill-seed", seed)
    assert again.parseoutcomes() == {"failed": 4}
    assert moments_of(red) == moments_of(again)
    assert len(moments_of(red)) == 4
    assert all(each.endswith(f"; --kill-seed {seed} has it again") for each in moments_of(red))
    other = pytester.runpytest_inprocess()
    assert not moments_of(other) & moments_of(red), "without one that is given it has others"


def moments_of(run: pytest.RunResult) -> set[str]:
    return {line for line in run.outlines if line.startswith("the moment of the kill: ")}
