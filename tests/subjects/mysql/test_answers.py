"""A program that is asked again and again, with real programs."""

import os
from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.subjects.mysql.answers import Answers

ECHO = ("sh", "-c", 'while read -r each; do echo "$$ $each"; done')


def test_all_questions_go_to_one_process() -> None:
    with Answers(ECHO) as answers:
        first, second = (answers.ask(word, within_s=10).split() for word in ("one", "two"))
    assert (first[1], second[1]) == ("one", "two")
    assert first[0] == second[0]


def test_no_process_is_left() -> None:
    with Answers(ECHO) as answers:
        pid = int(answers.ask("one", within_s=10).split()[0])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_program_that_does_not_end_with_its_input_is_ended() -> None:
    with Answers(["sh", "-c", 'read -r each; echo "$$"; exec sleep 600']) as answers:
        pid = int(answers.ask("one", within_s=10))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_answer_that_comes_late_is_none_to_the_next_question() -> None:
    script = 'while read -r each; do [ "$each" != slow ] || sleep 0.5; echo "$each"; done'
    with Answers(["sh", "-c", script]) as answers:
        with pytest.raises(OrdealError, match=r"gave no answer to 'slow' within 0\.1 s"):
            answers.ask("slow", within_s=0.1)
        assert answers.ask("next", within_s=10) == "next"


@pytest.mark.parametrize("script", ["exit 0", "read -r each; exit 3"])
def test_a_program_that_ends_is_an_error_and_is_started_again(script: str, tmp_path: Path) -> None:
    marker = f"{tmp_path}/again"
    once = f'if [ ! -e "$0" ]; then touch "$0"; {script}; fi; while read -r each; do echo "$each"; done'
    with Answers(["sh", "-c", once, marker]) as answers:
        with pytest.raises(OrdealError, match="ended instead of answering"):
            answers.ask("one", within_s=10)
        assert answers.ask("two", within_s=10) == "two"


def test_a_program_that_is_not_there() -> None:
    missing = ["kube-ordeal-has-no-such-program"]
    with Answers(missing) as answers, pytest.raises(OrdealError, match="could not be started: No such file"):
        answers.ask("one", within_s=10)
