"""One string of all that a terminal, a log, Markdown, XML or a page might obey, and what becomes of it."""

import re
import unicodedata

GOOD = "Füße 网络 👩‍🔬"
NASTY = (
    "\x1b[2J\x1b]8;;http://x\x07verified\x1b]8;;\x07\r\n::error::forged\n##[error]forged\n  ::warning a=b::forged\n"
    "##vso[task.complete]\t\x9b31m\u202egnp\u2066x\u200by\u200dz\ufeff\ud800\x00\u2028\u0085\x7f"
    "[link=http://x]l[/link] [red]r[/] | `c` <img src=x onerror=alert(1)> [x](javascript:alert(1)) @mention #1 $m$ "
    f"**b** ]]> :warning: [[ATTACHMENT|/etc/passwd]] {{{{ 7*7 }}}} {GOOD}"
)
_KEPT = {"\n", "\t"}
_COMMAND = re.compile(r"^\s*(::|##\[)|##\w*\[", re.MULTILINE)


def acts(text: str, *, one_line: bool = False, log: bool = True) -> str:
    """What in a text would still act on who reads it, a name for each; empty where nothing does."""
    good = text.replace("👩‍🔬", "")
    raw = {c for c in good if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} and c not in _KEPT}
    found = [f"U+{ord(c):04X}" for c in sorted(raw)]
    if one_line and "\n" in text:
        found.append("a second line")
    if log and (command := _COMMAND.search(text)):
        found.append(repr(command[0]))
    return ", ".join(found)
