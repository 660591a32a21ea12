"""Programs on a node: what they say is kept until it is read, and what is asked twice is done once."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.agent import programs
from chaos.agent.programs import StartedPrograms, argv_of, execute
from chaos.basics.waiting import eventually
from chaos.clusters.agent import protocol
from chaos.clusters.agent.protocol import Chunk, Ended, Feed, Read
from chaos.errors import OrdealError

LONG_S = 60.0  # to end a hang


def shell(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


# --- to its end


def run(*argv: str, stdin: bytes | None = None, timeout_s: float = LONG_S) -> Ended:
    return execute(protocol.Execute(argv, inside=False, timeout_s=timeout_s, stdin=stdin))


def test_what_a_program_said_and_its_exit_code_are_told() -> None:
    assert run(*shell("echo out; echo err >&2; exit 3")) == Ended(3, b"out\n", b"err\n")


def test_a_signal_that_ended_it_is_told() -> None:
    assert run(*shell("echo out; kill -TERM $$")) == Ended(-15, b"out\n", b"")


def test_it_reads_what_is_given_byte_for_byte() -> None:
    given = bytes(range(256)) * 1000
    assert run("cat", stdin=given) == Ended(0, given, b"")


def test_without_anything_to_read_it_is_at_the_end_of_it() -> None:
    assert run("cat") == Ended(0, b"", b"")


def test_one_that_does_not_read_is_no_error() -> None:
    assert run("true", stdin=b"x" * 1_000_000) == Ended(0, b"", b"")


def test_one_that_is_late_is_ended_with_its_children() -> None:
    """A child that went on would keep its output open, and nobody would hear the end of it."""
    said = run(*shell("sleep 1000 & sleep 1000"), timeout_s=0.1)
    assert (said.late, said.code) == (True, -9)


def test_what_one_that_is_late_has_said_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is late only after it has said something."""
    there, communicate = tmp_path / "said", subprocess.Popen.communicate

    def after_it_has_said_it(
        child: "subprocess.Popen[bytes]", given: bytes | None = None, timeout: float | None = None
    ) -> tuple[bytes, bytes]:
        if timeout is not None:
            eventually(there.exists, within_s=LONG_S, what="the program to say it", every_s=0.01)
        return communicate(child, given, timeout)

    monkeypatch.setattr(subprocess.Popen, "communicate", after_it_has_said_it)
    said = run(*shell(f"echo begun; echo not well >&2; touch {there}; sleep 1000"), timeout_s=0.1)
    assert said == Ended(-9, b"begun\n", b"not well\n", late=True)


@pytest.mark.parametrize("inside", [False, True])
def test_one_that_cannot_be_started_is_a_sentence(
    inside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "ENTER", (str(tmp_path / "nsenter"),))
    name = "nsenter" if inside else "there-is-none"
    asked = protocol.Execute((str(tmp_path / "there-is-none"),), inside=inside, timeout_s=LONG_S)
    with pytest.raises(OrdealError, match=rf"^{tmp_path / name} could not be started: No such file or directory$"):
        execute(asked)


def test_one_of_the_nodes_own_is_found_in_the_nodes_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "ENTER", ("env",))
    monkeypatch.setenv("PATH", f"/nowhere:{os.environ['PATH']}")
    asked = protocol.Execute(shell('echo "$PATH"'), inside=True, timeout_s=LONG_S)
    assert execute(asked).out.decode() == f"{programs.PATH_INSIDE}\n"
    assert argv_of(("a", "b"), inside=True) == ["env", "a", "b"]
    assert run(*shell('echo "$PATH"')).out.startswith(b"/nowhere:")


# --- on and on


@pytest.fixture
def there() -> Iterator[StartedPrograms]:
    made = StartedPrograms()
    yield made
    made.end_all()


def start(there: StartedPrograms, script: str) -> int:
    return there.start(protocol.Start(shell(script), inside=False))


def read(there: StartedPrograms, number: int, out: int = 0, err: int = 0, wait_s: float = LONG_S) -> Chunk:
    return there.read(Read(number, out, err, wait_s))


def read_all(there: StartedPrograms, number: int) -> tuple[bytes, bytes, int]:
    out = err = b""
    while True:
        chunk = read(there, number, len(out), len(err))
        out, err = out + chunk.out, err + chunk.err
        if chunk.code is not None:
            return out, err, chunk.code


def read_until(there: StartedPrograms, number: int, out: bytes, err: bytes = b"", at: tuple[int, int] = (0, 0)) -> None:
    """The same positions again and again, until all of that is there."""
    eventually(
        lambda: read(there, number, *at) == Chunk(out, err), within_s=LONG_S, what=f"{out!r} and {err!r}", every_s=0.01
    )


def is_gone(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_program_is_read_to_its_end(there: StartedPrograms) -> None:
    number = start(there, "echo out; echo err >&2; exit 3")
    assert read_all(there, number) == (b"out\n", b"err\n", 3)


def test_programs_do_not_get_mixed_up(there: StartedPrograms) -> None:
    first, second = start(there, "cat; echo first"), start(there, "cat; echo second")
    for number, given in ((second, b"2 "), (first, b"1 ")):
        there.feed(Feed(number, 0, given, closed=True))
    assert read_all(there, first) == (b"1 first\n", b"", 0)
    assert read_all(there, second) == (b"2 second\n", b"", 0)


def test_what_is_read_again_is_said_again(there: StartedPrograms) -> None:
    """The answer may have been lost on its way."""
    number = start(there, "printf abc; printf de >&2; cat >/dev/null; printf fg")
    read_until(there, number, b"abc", b"de")
    assert read(there, number) == Chunk(b"abc", b"de")
    assert read(there, number, 1, 2) == Chunk(b"bc", b"")
    there.feed(Feed(number, 0, b"", closed=True))
    read_until(there, number, b"bcfg", at=(1, 2))
    assert read(there, number, 5, 2) == Chunk(b"", b"", 0)


def test_what_the_reader_has_is_not_kept(there: StartedPrograms) -> None:
    number = start(there, "printf abc; cat")
    read_until(there, number, b"abc")
    assert read(there, number, 2) == Chunk(b"c", b"")
    with pytest.raises(OrdealError, match=r"^what the program said up to byte 2 is not kept any more$"):
        read(there, number, 1)


def test_a_read_waits_for_something_new_and_no_longer_than_asked(there: StartedPrograms) -> None:
    number = start(there, "cat")
    assert read(there, number, wait_s=0.01) == Chunk(b"", b"")
    there.feed(Feed(number, 0, b"a"))
    assert read(there, number) == Chunk(b"a", b"")
    assert read(there, number, out=1, wait_s=0.01) == Chunk(b"", b"")


def test_the_exit_code_is_told_when_all_is_read(there: StartedPrograms) -> None:
    number = start(there, "printf a; printf b >&2; exit 7")
    read_until(there, number, b"a", b"b")
    assert read(there, number, 1, 0) == Chunk(b"", b"b")
    assert [read(there, number, 1, 1) for _ in range(2)] == [Chunk(b"", b"", 7)] * 2


def test_more_than_a_chunk_comes_in_chunks(there: StartedPrograms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_CHUNK", 10)
    number = start(there, "printf 0123456789abcdefghijKLMNO; exit 1")
    read_until(there, number, b"0123456789")
    assert read(there, number, 5).out in {b"56789", b"56789abcde"}
    chunks = list[Chunk]()
    at = 5
    while not chunks or chunks[-1].code is None:
        chunks.append(read(there, number, at))
        at += len(chunks[-1].out)
    assert b"".join(each.out for each in chunks) == b"56789abcdefghijKLMNO"
    assert {len(each.out) > 10 for each in chunks} == {False}
    assert [each.code for each in chunks] == [None] * (len(chunks) - 1) + [1]


def test_one_that_says_more_than_is_kept_waits_until_it_is_read(
    there: StartedPrograms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "MOST_KEPT", 1000)
    monkeypatch.setattr(protocol, "MOST_CHUNK", 10_000)
    number = start(there, "seq 1 100000")
    assert read_all(there, number) == ("".join(f"{each}\n" for each in range(1, 100_001)).encode(), b"", 0)


def test_nothing_of_much_is_lost(there: StartedPrograms) -> None:
    number = start(there, "seq 1 400000; seq 1 400000 >&2")
    told = "".join(f"{each}\n" for each in range(1, 400_001)).encode()
    assert len(told) > 2 * protocol.MOST_CHUNK
    assert read_all(there, number) == (told, told, 0)


def test_what_is_fed_again_is_fed_once(there: StartedPrograms) -> None:
    number = start(there, "cat; echo the end")
    for _ in range(2):
        there.feed(Feed(number, 0, b"abc"))
    for _ in range(2):
        there.feed(Feed(number, 3, b"d"))
    for _ in range(2):
        there.feed(Feed(number, 4, b"", closed=True))
    assert read_all(there, number) == (b"abcdthe end\n", b"", 0)


def test_one_that_reads_no_more_takes_what_it_is_fed(there: StartedPrograms) -> None:
    number = start(there, "exec <&-; echo closed; exec sleep 1000")
    read_until(there, number, b"closed\n")
    there.feed(Feed(number, 0, b"abc"))
    there.feed(Feed(number, 3, b"", closed=True))


def test_one_that_was_ended_is_gone_and_forgotten(there: StartedPrograms) -> None:
    number = start(there, "echo $$; exec sleep 1000")
    pid = int(read(there, number).out)
    there.end(number)
    assert is_gone(pid)
    there.end(number)
    with pytest.raises(OrdealError, match="no program has the number"):
        read(there, number)


def test_all_are_ended(there: StartedPrograms) -> None:
    pids = [int(read(there, start(there, "echo $$; exec sleep 1000")).out) for _ in range(3)]
    there.end_all()
    assert all(map(is_gone, pids))


def test_a_number_that_nobody_has_is_a_sentence(there: StartedPrograms) -> None:
    sentence = r"^no program has the number 7 here: the agent was started anew, or it was ended$"
    with pytest.raises(OrdealError, match=sentence):
        read(there, 7)
    with pytest.raises(OrdealError, match=sentence):
        there.feed(Feed(7, 0, b"a"))
    there.end(7)


def test_one_that_cannot_be_started_has_no_number(there: StartedPrograms) -> None:
    with pytest.raises(OrdealError, match=r"^/there/is/none could not be started: No such file or directory$"):
        there.start(protocol.Start(("/there/is/none",), inside=False))


def test_one_that_nobody_reads_is_ended_and_one_that_is_read_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "LOOK_EVERY_S", 0.01)
    there = StartedPrograms()
    try:
        numbers = [start(there, "echo $$; exec sleep 1000") for _ in range(2)]
        unread, is_read = (int(read(there, each).out) for each in numbers)
        monkeypatch.setattr(there._running[numbers[1]], "unread_s", float)
        monkeypatch.setattr(protocol, "UNREAD_S", 0.0)
        eventually(lambda: is_gone(unread), within_s=LONG_S, what="the program to be ended")
        assert not is_gone(is_read)
        with pytest.raises(OrdealError, match="no program has the number"):
            read(there, numbers[0])
    finally:
        there.end_all()
