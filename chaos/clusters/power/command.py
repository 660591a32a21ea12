"""The user's own command: `--ordeal-power-command "./power {off|on|state} {node}"`.

No shell reads it: it is split into words as a shell would, and then the two placeholders are filled.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from chaos.clusters.abilities import OFF, RUNNING
from chaos.errors import OrdealError
from chaos.hosts.command import run_apart

SWITCHES_WITHIN_S, SAYS_WITHIN_S = 30.0, 10.0
VERBS = frozenset({"off", "on", "state"})
STATES = {"on": RUNNING, "running": RUNNING, "off": OFF}
NODE, EXAMPLE = "{node}", "./power {off|on|state} {node}"
_VERB = re.compile(r"\{(\w+\|\w+\|\w+)\}")


@dataclass(frozen=True, slots=True)
class OwnCommand:
    """`words` with the placeholders; it is run in `folder`."""

    words: tuple[str, ...]
    folder: Path

    def off(self, node: str) -> None:
        """Runs it with `off`, unless it says that the node is off."""
        self._switch("off", node)

    def on(self, node: str) -> None:
        """Runs it with `on`, unless it says that the node is on."""
        self._switch("on", node)

    def state(self, node: str) -> str:
        argv = self._argv("state", node)
        said = run_apart(argv, timeout_s=SAYS_WITHIN_S, cwd=self.folder).out.strip()
        if said not in STATES:
            raise OrdealError(
                f"`{shlex.join(argv)}` said {said[:200]!r}; it has to say `on` or `off`, and nothing else"
            )
        return STATES[said]

    def _switch(self, verb: str, node: str) -> None:
        if self.state(node) != STATES[verb]:
            run_apart(self._argv(verb, node), timeout_s=SWITCHES_WITHIN_S, cwd=self.folder)

    def _argv(self, verb: str, node: str) -> list[str]:
        return [_VERB.sub(verb, word).replace(NODE, node) for word in self.words]


def own_command(told: str, folder: Path) -> OwnCommand:
    """The driver. Raises OrdealError for a command that lacks a placeholder."""
    try:
        words = tuple(shlex.split(told))
    except ValueError as error:
        raise OrdealError(f"the power command `{told}` can't be split into words ({error}): write {EXAMPLE}") from None
    choices = [set(each.split("|")) for word in words for each in _VERB.findall(word)]
    if not choices or any(each != VERBS for each in choices):
        raise OrdealError(
            f"the power command `{told}` has to have {{off|on|state}} where the word for it goes: {EXAMPLE}"
        )
    if not any(NODE in word for word in words):
        raise OrdealError(f"the power command `{told}` has to have {{node}} where the node's name goes: {EXAMPLE}")
    return OwnCommand(words, folder)
