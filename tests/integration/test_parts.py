"""What replays use of this machine, tried for real: set-up has installed the programs."""

from chaos.hosts.command import run
from chaos.hosts.parts import PARTS


def test_trying_them_changes_nothing_of_this_machine() -> None:
    def seen() -> list[str]:
        commands = (["iptables", "-S"], ["iptables", "-t", "mangle", "-S"], ["tc", "qdisc", "show", "dev", "lo"])
        return [run(argv, check=False).out for argv in commands]

    before = seen()
    assert [part.lacks() for part in PARTS if part.lacks()] == []
    assert seen() == before
