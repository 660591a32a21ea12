r"""Text of others, made visible: what a terminal, a log or a page would obey is shown as an escape, such as \x1b.

Names and messages come from clusters, and results from anybody. Nothing is dropped, and good text stays as it is.
"""

import re
from collections.abc import Iterable

# Zero-width joiners and selectors of variants belong to emoji and to some scripts, and stay there.
_JOINED = "\u0600-\u08ff\u0900-\u0dff\ufe0f\u20e3\u2190-\u2bff\U0001f000-\U0001faff"
_KEPT = re.compile(
    rf"(?<=[{_JOINED}])[\u200c\u200d](?=[{_JOINED}])"
    "|(?<=[0-9#*])\ufe0f(?=\u20e3)"
    "|(?<=[^\x00-\x7f\ufe00-\ufe0f\U000e0000-\U000e0fff])[\ufe00-\ufe0f\U000e0100-\U000e01ef]"
    "|(?<=\U0001f3f4)[\U000e0020-\U000e007e]{1,8}\U000e007f"  # the flags of England, Scotland and Wales
)
# Control characters (C0, DEL, C1), separators of lines and paragraphs, lone surrogates, what is no character, and what
# is not drawn at all by the Unicode database (Default_Ignorable_Code_Point), which has all that turns the direction.
_HIDDEN = (
    "\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
) + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0x10000, 0x110000, 0x10000))
_SHOWN = re.compile(f"({_KEPT.pattern})|[{_HIDDEN}]")
# What a CI system obeys in its log. GitHub: `::error::` where a line begins (actions/runner, ActionCommand.cs, which
# skips blanks), `##[error]` anywhere in it; Azure: `##vso[...]` anywhere; TeamCity: `##teamcity[...]`. A line may be
# wrapped later, so that what stands after a blank begins one.
_COMMAND = re.compile(r"^(\s*):(?=:)|(?<=\s):(?=:[A-Za-z][\w-]*(?:\s.*)?::)|#(?=#\w*\[)")


def visible(text: str, keep: str = "") -> str:
    r"""The text with each character that acts, or can't be seen, shown by its number: \x1b, \u202e, \n.

    `keep`: those that stay all the same, as the ends of lines do where text of several lines is shown.
    """
    return _SHOWN.sub(lambda found: found[0] if found[1] or found[0] in keep else _escape(found[0]), text)


def line(text: str) -> str:
    """One line of a terminal or a log: visible, and nothing in it is a command to a CI system."""
    return _COMMAND.sub(lambda found: f"{found[1] or ''}{_hex(found[0][-1])}", visible(text))


def lines(text: str) -> str:
    """The same of text that may have several lines, and tabs."""
    return "\n".join(line(each.replace("\t", "    ")) for each in text.replace("\r\n", "\n").split("\n"))


def joined(parts: Iterable[str]) -> str:
    """A line for each part, whatever is in it."""
    return "\n".join(map(line, parts))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def _hex(character: str) -> str:
    return f"\\x{ord(character):02x}"
