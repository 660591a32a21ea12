"""What answers on a node: to the one run that it knows, whatever others send, and as long as it is asked."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from chaos.agent import server
from chaos.clusters.agent import keys, protocol, remote
from chaos.clusters.agent.channel import Channel, UnreachedError
from chaos.clusters.agent.crew import Crew
from chaos.clusters.agent.deployment import Agents
from chaos.clusters.agent.protocol import (
    Chunk,
    Disarm,
    Done,
    End,
    Ended,
    Execute,
    Feed,
    Hello,
    Leave,
    Me,
    Number,
    Read,
    Renew,
    Start,
)
from chaos.errors import OrdealError
from chaos.harm import base
from chaos.hosts.record import boot as boot_id
from tests.agent.made_up import LONG_S, WITHIN_S, InFolder, harm, undone_in
from tests.agent.serving import HERE, NODE, RUN, Serving, key_of

ROOT = Path(__file__).parents[2]


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setitem(base._REGISTRY, InFolder.kind, InFolder)
    with Serving(tmp_path) as made:
        yield made


@pytest.fixture
def channel(node: Serving) -> Channel:
    return node.channel()


def hello(channel: Channel) -> Me:
    return channel.ask(Hello(), Me, within_s=LONG_S)


def run(channel: Channel, *argv: str) -> Ended:
    return channel.ask(Execute(argv, inside=False, timeout_s=LONG_S), Ended, within_s=LONG_S)


# --- who is answered


def test_it_says_who_it_is(node: Serving, channel: Channel) -> None:
    said = hello(channel)
    assert (said.version, said.run, said.node, said.boot) == (protocol.VERSION, RUN, NODE, boot_id())
    assert (said.armed, said.lapsed) == ((), ())
    assert hello(channel).monotonic_s > said.monotonic_s
    assert node.connections == 1, "one is kept"


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_a_node_may_have_an_ipv6_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    try:
        server.free_port("::1")
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with Serving(tmp_path, "::1") as made:
        assert hello(made.channel()).node == NODE
        assert server.listening("::1", made.port)


def test_it_hears_that_the_run_lives(node: Serving, channel: Channel) -> None:
    heard_at = node.agent.heard_at
    hello(channel)
    assert node.agent.heard_at > heard_at


def test_who_has_another_key_gets_no_answer(node: Serving, tmp_path: Path) -> None:
    other, _ = key_of(tmp_path, "another run")
    with pytest.raises(
        UnreachedError, match=rf"^the agent of node {NODE} \({HERE}, port {node.port}\) gives no answer: "
    ):
        hello(node.channel(folder=other))
    assert hello(node.channel()).run == RUN


def test_one_that_is_not_the_agent_is_not_asked(node: Serving, tmp_path: Path) -> None:
    _, certificate = key_of(tmp_path, "another agent")
    heard_at = node.agent.heard_at
    with pytest.raises(UnreachedError, match="certificate verify failed"):
        hello(node.channel(certificate=certificate))
    assert node.agent.heard_at == heard_at


@contextmanager
def plain(node: Serving) -> Iterator[socket.socket]:
    with socket.create_connection((HERE, node.port), LONG_S) as connection:
        yield connection


def test_who_speaks_no_tls_or_nothing_keeps_nobody_waiting(
    node: Serving, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "HANDSHAKE_WITHIN_S", LONG_S)
    with plain(node), plain(node) as clear, plain(node) as half:
        clear.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        half.sendall(b"\x16\x03\x01")
        assert hello(channel).node == NODE
        with suppress(ConnectionResetError):
            while clear.recv(1000):
                pass  # TLS says that this is none


def test_who_hangs_in_the_handshake_is_let_go(node: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HANDSHAKE_WITHIN_S", 0.01)
    with plain(node) as silent:
        assert silent.recv(1) == b""


def test_who_asks_nothing_more_is_let_go_and_may_come_again(
    node: Serving, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SILENT_S", 0.01)
    with keys.client(node.folder, node.address.certificate).wrap_socket(
        socket.create_connection((HERE, node.port), LONG_S)
    ) as silent:
        assert silent.recv(1) == b""
    monkeypatch.setattr(server, "SILENT_S", LONG_S)
    assert hello(channel).node == NODE


MOST = protocol.MOST_BYTES.to_bytes(4, "big")


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00\x00\x00\x03\xc1\xc1\xc1",
        b"\x00\x00\x00\x01\x80",
        b"\x00\x00\x00\x0e\x81\xa4type\xa7Nothing",
        (protocol.MOST_BYTES + 1).to_bytes(4, "big"),
    ],
    ids=["no MessagePack", "no tag", "another tag", "too long"],
)
def test_what_is_no_request_ends_only_its_connection(node: Serving, channel: Channel, sent: bytes) -> None:
    hello(channel)
    with keys.client(node.folder, node.address.certificate).wrap_socket(
        socket.create_connection((HERE, node.port), LONG_S)
    ) as other:
        other.sendall(sent)
        assert other.recv(1) == b""
    hello(channel)
    assert node.connections == 2


@pytest.mark.parametrize("sent", [b"", b"\x00\x00", MOST, MOST + b"\x81"])
def test_who_goes_in_the_middle_is_nobodys_trouble(node: Serving, channel: Channel, sent: bytes) -> None:
    with keys.client(node.folder, node.address.certificate).wrap_socket(
        socket.create_connection((HERE, node.port), LONG_S)
    ) as other:
        other.sendall(sent)
    assert hello(channel).node == NODE


# --- what is asked


def test_a_program_is_run(channel: Channel) -> None:
    assert run(channel, "sh", "-c", "echo out; echo err >&2; exit 3") == Ended(3, b"out\n", b"err\n")


def test_a_program_that_goes_on_is_fed_and_read(channel: Channel) -> None:
    number = channel.ask(Start(("cat",), inside=False), Number).value
    for _ in range(2):
        assert channel.ask(Feed(number, 0, b"abc"), Done) == Done()
    assert channel.ask(Read(number, 0, 0, LONG_S), Chunk, within_s=LONG_S) == Chunk(b"abc", b"")
    channel.ask(Feed(number, 3, b"", closed=True), Done)
    assert channel.ask(Read(number, 3, 0, LONG_S), Chunk, within_s=LONG_S) == Chunk(b"", b"", 0)
    assert channel.ask(End(number), Done) == Done()
    with pytest.raises(OrdealError, match=rf"^the agent of node {NODE}: no program has the number {number} here"):
        channel.ask(Read(number, 3, 0, LONG_S), Chunk)


def test_what_cannot_be_done_is_refused_in_a_sentence(node: Serving, channel: Channel) -> None:
    with pytest.raises(OrdealError, match=rf"^the agent of node {NODE}: /none could not be started: No such file"):
        run(channel, "/none")
    hello(channel)
    assert node.connections == 1


def test_a_mistake_of_its_own_is_refused_and_it_goes_on(node: Serving, channel: Channel) -> None:
    with pytest.raises(OrdealError, match=rf"^the agent of node {NODE}: its own mistake: IndexError") as told:
        run(channel)
    assert not isinstance(told.value, UnreachedError)
    hello(channel)
    assert node.connections == 1


def test_what_takes_long_keeps_no_other_thread_waiting(node: Serving, channel: Channel, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    hello(channel)
    with ThreadPoolExecutor(1) as another:
        reads = another.submit(run, channel, "cat", str(pipe))
        with pipe.open("wb") as writes:  # when it is open, the program reads
            assert hello(channel).node == NODE
            assert not reads.done()
            writes.write(b"at last")
        assert reads.result() == Ended(0, b"at last", b"")
    assert node.connections == 2


def test_what_is_armed_is_shown_renewed_and_disarmed(channel: Channel, tmp_path: Path) -> None:
    number = channel.ask(harm(tmp_path, 1), Number).value
    assert channel.ask(Renew(10 * WITHIN_S, (number, 7)), Done) == Done((7,))
    (shown,) = hello(channel).armed
    assert (shown.entry, shown.fault, shown.error) == (number, InFolder.kind, "")
    assert shown.left_s > WITHIN_S
    channel.ask(Disarm(number), Done)
    said = hello(channel)
    assert (said.armed, said.lapsed, undone_in(tmp_path)) == ((), (), [])


def test_it_stays_as_long_as_something_is_armed(node: Serving, channel: Channel, tmp_path: Path) -> None:
    number = channel.ask(harm(tmp_path, 1), Number).value
    with pytest.raises(
        OrdealError, match=rf"^the agent of node {NODE}: it has something to take back yet, so it stays$"
    ):
        channel.ask(Leave(), Done)
    assert not node.agent.leaving.is_set()
    channel.ask(Disarm(number), Done)
    assert channel.ask(Leave(), Done) == Done()
    assert node.agent.leaving.is_set()


# --- a way that is cut


def test_a_connection_that_broke_is_told_once_and_made_anew(node: Serving, channel: Channel) -> None:
    """What was asked is not sent again by itself: it may have been obeyed."""
    for _ in range(3):
        assert hello(channel).node == NODE
        node.cut()
        with pytest.raises(UnreachedError, match="gives no answer"):
            hello(channel)
    assert node.connections == 3


def test_what_was_obeyed_before_the_way_was_cut_is_not_done_twice(
    node: Serving, channel: Channel, tmp_path: Path
) -> None:
    pipe, ran = tmp_path / "pipe", tmp_path / "ran"
    os.mkfifo(pipe)
    hello(channel)
    with ThreadPoolExecutor(1) as another:
        hello_there = another.submit(hello, channel)
        assert hello_there.result().node == NODE
        asked = another.submit(run, channel, "sh", "-c", f"echo it ran >> {ran}; cat {pipe}")
        with pipe.open("wb"):  # when it is open, the program runs
            node.cut()
            with pytest.raises(UnreachedError):
                asked.result()
    assert hello(node.channel()).node == NODE
    assert ran.read_text() == "it ran\n"


def test_a_connection_that_the_agent_may_have_ended_is_not_used(
    node: Serving, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello(channel)
    node.cut()
    monkeypatch.setattr("chaos.clusters.agent.channel.FRESH_S", 0.0)
    assert hello(channel).node == NODE
    assert node.connections == 2


def test_where_nobody_listens_there_is_no_answer_until_somebody_does(node: Serving, channel: Channel) -> None:
    node.go_away()
    for _ in range(2):
        with pytest.raises(UnreachedError, match=r"gives no answer: .*Connection refused"):
            hello(channel)
    node.come_back()
    assert hello(channel).node == NODE


def test_an_answer_that_does_not_come_in_time_is_none(node: Serving) -> None:
    number = node.channel().ask(Start(("cat",), inside=False), Number).value
    with pytest.raises(UnreachedError, match="gives no answer"):
        node.channel().ask(Read(number, 0, 0, LONG_S), Chunk, within_s=0.01)


# --- a program there as if it ran here


def command(node: Serving, *argv: str) -> list[str]:
    return [sys.executable, "-m", remote.__name__, str(node.folder), NODE, remote.BESIDE, *argv]


def relayed(node: Serving, *argv: str, given: bytes = b"") -> tuple[int, bytes, bytes]:
    done = subprocess.run(command(node, *argv), cwd=ROOT, input=given, capture_output=True, timeout=LONG_S, check=False)
    return done.returncode, done.stdout, done.stderr


@contextmanager
def relay(node: Serving, *argv: str) -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen(
        command(node, *argv), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def test_output_and_exit_code_are_the_programs(node: Serving) -> None:
    assert relayed(node, "sh", "-c", "echo out; echo err >&2; exit 7") == (7, b"out\n", b"err\n")
    assert not node.agent.programs._running, "and it is forgotten"


def test_a_signal_that_ends_the_program_is_told_as_a_shell_does(node: Serving) -> None:
    assert relayed(node, "sh", "-c", "kill -TERM $$") == (128 + 15, b"", b"")


def test_input_is_the_programs_byte_for_byte(node: Serving) -> None:
    given = bytes(range(256)) * 2000
    assert len(given) > 2 * remote.CHUNK_BYTES
    assert relayed(node, "cat", given=given) == (0, given, b"")


def test_a_program_that_cannot_be_started_is_a_line_and_125(node: Serving) -> None:
    sentence = f"the agent of node {NODE}: /none could not be started: No such file or directory\n"
    assert relayed(node, "/none") == (125, b"", sentence.encode())


def test_an_agent_that_cannot_be_reached_is_a_line_and_125(node: Serving) -> None:
    node.go_away()
    code, out, err = relayed(node, "true")
    assert (code, out, err.count(b"\n")) == (125, b"", 1)
    assert err.startswith(b"the agent of node w1 (127.0.0.1, port ")
    node.come_back()


def test_a_connection_that_is_cut_loses_nothing_and_says_nothing_twice(node: Serving) -> None:
    with relay(node, "cat") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        for number in range(8):
            line = b"%d\n" % number
            child.stdin.write(line)
            child.stdin.flush()
            if number % 2:
                node.cut()
            assert child.stdout.readline() == line
            node.cut()
        child.stdin.close()
        assert (child.stdout.read(), child.wait(LONG_S)) == (b"", 0)
    assert node.connections > 2


def test_much_that_is_cut_again_and_again_comes_whole(node: Serving) -> None:
    """What nobody here reads waits there, so that a cut comes in the middle of it."""
    told = "".join(f"{each}\n" for each in range(1, 400_001)).encode()
    with relay(node, "seq", "1", "400000") as child:
        assert child.stdout is not None
        got = b""
        while len(got) < len(told) and (more := child.stdout.read(300_000)):
            got += more
            node.cut()
        assert (got == told, child.stdout.read(), child.wait(LONG_S)) == (True, b"", 0)


def test_much_that_is_given_while_it_is_cut_comes_once(node: Serving) -> None:
    given = os.urandom(1_000_000)
    with relay(node, "cat") as child, ThreadPoolExecutor(1) as writes:
        assert child.stdin is not None
        assert child.stdout is not None
        written = writes.submit(child.stdin.write, given)
        got = b""
        while len(got) < len(given) and (more := child.stdout.read(100_000)):
            got += more
            node.cut()
        assert written.result() == len(given)
        child.stdin.close()
        assert (got == given, child.stdout.read(), child.wait(LONG_S)) == (True, b"", 0)


def test_a_way_that_is_cut_for_a_while_loses_nothing(node: Serving) -> None:
    with relay(node, "sh", "-c", 'echo begun; read -r it; echo "$it"; exit 5') as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"begun\n"
        node.go_away()
        child.stdin.write(b"given meanwhile\n")
        child.stdin.flush()
        node.come_back()
        assert (child.stdout.read(), child.wait(LONG_S)) == (b"given meanwhile\n", 5)


def test_an_agent_that_was_started_anew_knows_its_programs_no_more(node: Serving) -> None:
    with relay(node, "sh", "-c", "echo begun; sleep 1000") as child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert child.stdout.readline() == b"begun\n"
        node.start_anew()
        assert child.wait(LONG_S) == 125
        assert child.stderr.read().startswith(b"the agent of node w1: no program has the number ")


def test_a_nodes_clock_is_known_to_half_an_exchange(node: Serving) -> None:
    """Here both are one clock: what it is ahead by is within the error, which is less than any exchange took."""
    crew = Crew(Agents(RUN, "image", node.folder))
    try:
        clock = crew.clock(NODE)
    finally:
        crew.close()
    assert abs(clock.ahead_s) <= clock.error_s


def test_what_a_run_that_is_over_has_armed_of_a_fault_can_be_disarmed(node: Serving, tmp_path: Path) -> None:
    """Else a node takes back once more what `kube-ordeal undo` has undone, and its agent can't leave before that."""
    folder = tmp_path / "harmed"
    folder.mkdir()
    node.armory.arm(harm(folder, 1))
    crew = Crew(Agents(RUN, "image", node.folder))
    try:
        crew.disarm_all("another")
        assert len(node.armory.armed()) == 1
        crew.disarm_all(InFolder.kind)
    finally:
        crew.close()
    assert (node.armory.armed(), undone_in(folder)) == ((), [])
