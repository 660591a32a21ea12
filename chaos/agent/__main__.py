"""`python -m chaos.agent install|attend|serve FOLDER`: the two containers of the agent's pod, and what outlives it."""

import signal
import sys
import threading
from contextlib import suppress
from itertools import count
from pathlib import Path

import msgspec

from chaos.agent import home, server
from chaos.agent.home import Home
from chaos.basics.files import place
from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.clusters.agent import keys
from chaos.clusters.agent.deployment import MOUNTED, TOLD, Installed, Looked
from chaos.errors import OrdealError

STARTS_WITHIN_S, LEAVES_WITHIN_S = 60.0, 20.0
LOOK_EVERY_S, LOOKS = 1.0, 5  # whether the agent's folder is there; so many later whether it runs


def install() -> None:
    """Put the agent onto the node and start it there; its port and certificate are the container's last message."""
    run, node, address = (home.environment(each) for each in ("RUN", "NODE_NAME", "NODE_ADDRESS"))
    folder = MOUNTED / run
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    certificate = keys.make(folder, f"kube-ordeal agent of {node}")
    try:
        port = msgspec.json.decode((folder / home.CONFIG).read_bytes(), type=Home).port
    except OSError:
        port = server.free_port(address)
    capabilities = tuple(home.environment("CAPABILITIES").split())
    this = Home(run, node, address, port, home.environment("RUNNER_CERTIFICATE"), capabilities)
    home.copy_root(this, MOUNTED)
    place(folder / home.CONFIG, msgspec.json.encode(this).decode())
    home.start(this)
    eventually(lambda: server.listening(address, port), within_s=STARTS_WITHIN_S, what="the agent to answer")
    TOLD.write_bytes(msgspec.json.encode(Installed(port, certificate)))


def attend() -> None:
    """Start the agent again where it does not run though its folder is there, until the pod is taken away.

    Where the agent has left its node, what is still there of it is the container's last message.
    """
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    run = home.environment("RUN")
    folder, waited = MOUNTED / run, count(1)
    while (folder / home.WHOLE).exists():
        if over.wait(LOOK_EVERY_S):
            return
        if next(waited) % LOOKS == 0 and (folder / home.WHOLE).exists():
            this = Home.read(folder)
            if not home.is_running(this):
                home.start(this)
    with suppress(WaitedInVainError):
        eventually(lambda: not home.left_behind(run), within_s=LEAVES_WITHIN_S, what="the agent to be gone")
    TOLD.write_bytes(msgspec.json.encode(Looked(home.left_behind(run))))


def main(arguments: list[str]) -> int:
    """The command. What it can't do is one line, and 2."""
    try:
        match arguments:
            case ["install"]:
                install()
            case ["attend"]:
                attend()
            case ["serve", folder]:
                return server.serve(Path(folder))
            case _:
                sys.stderr.write("say install, attend, or serve FOLDER\n")
                return 2
    except (OrdealError, OSError, msgspec.MsgspecError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
