"""tests/bench/tests.py: which tests failed, over several rounds of a Makefile with parts of its own."""

from dataclasses import replace
from pathlib import Path

from tests.bench.tests import Round, answer, failed_in, go

GREEN = Round("c", "2026-01-01T00:00:00+00:00", 0, 1200.0, 0.5, 2.0, 1871, (), "results/tests/1")
JUNIT = """\
<testsuites><testsuite>
<testcase classname="tests.test_a" name="test_one"/>
<testcase classname="tests.test_a" name="test_two[x]"><failure message="no">why</failure></testcase>
<testcase classname="tests.test_b" name="test_three"><skipped message="later"/></testcase>
<testcase classname="tests.test_b" name="test_four"><error message="no">why</error></testcase>
</testsuite></testsuites>
"""


def test_what_failed_is_read_from_junit() -> None:
    assert failed_in(JUNIT) == (3, ["tests.test_a::test_two[x]", "tests.test_b::test_four"])


def test_the_answer_names_each_failed_test_once() -> None:
    red = replace(GREEN, code=1, took_s=1300.0, failed=["tests.test_a::test_two[x]"])
    lint = replace(GREEN, code=1, took_s=10.0, output="results/tests/3")
    assert answer([GREEN, red, red, lint]) == [
        "make test: 1 of 4 green; 1200.0, 1300.0, 1300.0, 10.0 s, median 1250.0 s",
        "  failed in 2 of 4: tests.test_a::test_two[x]",
        "  red without a failed test, began 2026-01-01T00:00:00+00:00: results/tests/3",
    ]
    assert answer([]) == ["none"]


def test_each_part_of_make_test_has_a_file_of_its_own(tmp_path: Path) -> None:
    passed = '<testsuites><testsuite><testcase classname="tests.test_c" name="test_five"/></testsuite></testsuites>'
    part = "\t@for arg in $(ARGS); do cp {} $${{arg#--junitxml=}}; done\n"
    for name, text in (("one.xml", JUNIT), ("two.xml", passed)):
        (tmp_path / name).write_text(text)
    (tmp_path / "Makefile").write_text("test:\n" + part.format("one.xml") + part.format("two.xml") + "\t@exit 3\n")
    said: list[str] = []
    assert go(tmp_path, 2, said.append) == 1
    assert "RED, exit code 3, " in said[2]
    assert ", 4 tests; " in said[2]
    assert said[3:5] == ["  failed: tests.test_a::test_two[x]", "  failed: tests.test_b::test_four"]
    assert said[-1] == "  failed in 2 of 2: tests.test_b::test_four"
