"""What answers on a node: one thread a connection, TLS with the run's certificate, one answer to each request."""

import signal
import socket
import socketserver
import ssl
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaos.agent import programs
from chaos.agent.armed import Armory, boot_id
from chaos.agent.home import Home, take_away
from chaos.agent.programs import Programs
from chaos.basics.visible import line
from chaos.clusters.agent import keys, protocol
from chaos.errors import OrdealError

HANDSHAKE_WITHIN_S = 5.0
SILENT_S = 60.0  # a connection on which nobody asks is ended; who asks again makes a new one
UNRENEWED_S = 60.0  # so long after the last word of a run, with nothing armed, the agent takes itself off the node
LOOK_EVERY_S = 1.0


@dataclass(slots=True)
class Agent:
    """What there is to ask."""

    home: Home
    armory: Armory
    programs: Programs
    heard_at: float
    leaving: threading.Event

    def answer(self, asked: protocol.Request) -> protocol.Answer:
        """Never raises: what can't be done is Refused."""
        self.heard_at = time.monotonic()
        try:
            return self._answer(asked)
        except OrdealError as error:
            return protocol.Refused(str(error))
        except Exception as error:  # noqa: BLE001  (a request must not end the agent: it is the way back)
            return protocol.Refused(f"its own mistake: {error!r}")

    def _answer(self, asked: protocol.Request) -> protocol.Answer:
        match asked:
            case protocol.Hello():
                return protocol.Me(
                    protocol.VERSION, self.home.run, self.home.node, boot_id(), time.monotonic(),
                    self.armory.armed(), self.armory.lapsed(),
                )  # fmt: skip
            case protocol.Execute():
                return programs.execute(asked)
            case protocol.Start():
                return protocol.Number(self.programs.start(asked))
            case protocol.Feed():
                self.programs.feed(asked)
            case protocol.Read():
                return self.programs.read(asked)
            case protocol.End():
                self.programs.end(asked.process)
            case protocol.Arm():
                return protocol.Number(self.armory.arm(asked))
            case protocol.Renew():
                self.armory.renew(asked)
            case protocol.Disarm():
                self.armory.disarm(asked.entry)
            case protocol.Leave():
                if armed := self.armory.armed():
                    raise OrdealError(f"{armed[0].fault} is armed, so this agent stays")
                self.leaving.set()
        return protocol.Done()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, agent: Agent, tls: ssl.SSLContext) -> None:
        self.agent, self.tls = agent, tls
        self.address_family = socket.AF_INET6 if ":" in agent.home.address else socket.AF_INET
        super().__init__((agent.home.address, agent.home.port), _Talk)

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever comes without the key, or goes in the middle, is nobody's trouble."""


class _Talk(socketserver.BaseRequestHandler):
    """One connection. Its handshake is in its own thread: one that hangs keeps nobody waiting."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        self.request.settimeout(HANDSHAKE_WITHIN_S)
        with server.tls.wrap_socket(self.request, server_side=True) as connection:
            connection.settimeout(SILENT_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(OSError, EOFError, ValueError, msgspec.MsgspecError):
                while (asked := protocol.receive(connection, protocol.Request)) is not None:
                    protocol.send(connection, server.agent.answer(asked))


def serve(folder: Path) -> None:
    """Answer until the run says that it is over, or nothing was heard of it for long; then nothing of the agent stays.

    SIGTERM (the node shuts down) ends it, and all that is armed stays armed for its next start.
    """
    home = Home.read(folder)
    armory = Armory(home.node, _report)
    agent = Agent(home, armory, Programs(), time.monotonic(), threading.Event())
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with _Server(agent, keys.server(folder, home.runner)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _report(f"answers at {home.address}, port {home.port}")
        while not ended.wait(LOOK_EVERY_S):
            alone = time.monotonic() - agent.heard_at > UNRENEWED_S and not armory.armed()
            if alone or agent.leaving.is_set():
                break
        server.shutdown()
    agent.programs.end_all()
    armory.close()
    if not ended.is_set():
        _report("takes itself off this node")
        take_away(home)


def _report(text: str) -> None:
    sys.stderr.write(f"kube-ordeal agent: {line(text)}\n")
    sys.stderr.flush()


def listening(address: str, port: int) -> bool:
    """Whether something takes connections there."""
    try:
        socket.create_connection((address, port), 1.0).close()
    except OSError:
        return False
    return True


def free_port(address: str) -> int:
    """A port of that address that nobody has now."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as tried:
        tried.bind((address, 0))
        port: int = tried.getsockname()[1]
        return port
