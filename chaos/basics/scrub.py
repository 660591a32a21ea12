"""Secrets are taken out of text before it is written: what a run keeps is handed to others.

The patterns are our own. detect-secrets (1.5.0), which is well kept, tells by how random words look in which lines a
secret may be. On a kubelet's log it took 5 ms a line and named five words of each. Here what is no secret has to stay
as it is, for invariants judge by it again: only what has the form of a secret, or is named as one, goes.

Doing it twice changes nothing, and the time that it takes grows with the text alone, whatever is in it.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from chaos.basics.files import place

REMOVED = "(removed)"
PASSES = 10  # what stays beside a secret may look like one, once that is gone
JSON = str | int | float | bool | None | list["JSON"] | Mapping[str, "JSON"]

# The end of a name of something that holds a secret. What goes on, such as --token-auth-file, names something else.
_NAME = (
    r"(?:passw(?:or)?d|passphrase|(?<![a-z])pass|(?-i:(?<=[a-z])Pass)|(?<![a-z])pwd|token|credential|signature|cookie|"
    r"secret(?:[-_]?(?:access)?[-_]?key)?|api[-_.]?key|access[-_]?key(?:[-_]?id)?|"
    r"(?:private|account|encryption|signing|client|ssh)[-_]?(?:access[-_]?)?key(?:[-_]?data)?|"
    r"(?<![a-z])auth|dockercfg|dockerconfigjson)s?"
)
_QUOTE = r"\\{0,3}[\"']"  # with the backslashes of JSON that is a text in JSON
# What invariants look for in messages may stand behind a name, as in "failed to fetch token: too many open files".
_WORD = r"(?!\(removed\)|(?:true|false|nil|null|none|too many open files)\b)(?:[^\s\"'\\,;&]|\\(?![\"'nrt])){1,4096}"
_VALUE = rf"(?:(?P<q>{_QUOTE})(?!\(removed\))(?P<x>(?:(?!(?<!\\)(?P=q))[^\r\n]){{1,4096}})|(?P<y>{_WORD}))"
_NAMED = rf"{_NAME}(?:{_QUOTE})?[ \t]{{0,3}}(?:=>|:=|=(?!>)|:(?!:))[ \t]{{0,3}}{_VALUE}"
# Of a container, as the kubelet tells it: until what follows, or the line's end.
_UNTIL = r"(?P<x>(?s:.{{1,32768}}?)(?={})|[^\n]{{1,32768}})"
_KEY = r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
# Where one of the words is, in small letters, its pattern is tried. What goes are the groups x and y.
_PATTERNS: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        (
            *("pass", "pwd", "token", "credential", "signature", "cookie", "secret", "api", "access", "private"),
            *("account", "encryption", "signing", "client", "ssh", "auth", "dockerc"),
        ),
        _NAMED,
    ),
    (("--",), rf"--[\w.-]{{0,40}}?{_NAME}(?:{_QUOTE},?[ \t]{{0,3}}|[ \t]{{1,3}})(?:{_QUOTE})?(?!-)(?P<x>{_WORD})"),
    (
        ("authorization", "cookie"),
        rf"(?:authorization|cookie)(?:{_QUOTE})?[ \t]*[:=][ \t]*\[?(?:{_QUOTE})?(?P<x>[^\r\n\"'\\\]]{{1,4096}})",
    ),
    (("bearer", "basic"), r"[a-z]+[ \t]+(?-i:(?=\S{0,256}?[A-Z0-9_.=/+-]))(?P<x>[\w.~+/=-]{8,4096})"),
    (("://",), r"://(?P<x>[^\s/?#\"'<>]{1,1024})@(?!sha256:)"),
    (("://",), r"://(?P<x>[^\s/:@\"'<>]{0,256}:[^\s\"'<>]{1,1024})@(?!sha256:)"),  # a password with a slash
    (
        (" -u", "--user", "--proxy-user"),
        rf"[ -]+[a-z-]+[ =](?:{_QUOTE})?(?P<x>(?!\d+:\d+\b)[^\s\"':]{{1,256}}:[^\s\"']{{1,256}})",
    ),
    (("mysql", "mariadb", "sshpass"), rf"[^\n]{{0,200}}? (?-i:-p) ?(?:{_QUOTE})?(?!ort)(?P<x>{_WORD})"),
    (("redis-cli",), rf"[^\n]{{0,200}}? (?:-a|--pass) (?:{_QUOTE})?(?P<x>{_WORD})"),
    (("envvar{", "httpheader{"), r"\w+{Name:[^,{}]{0,256},Value:(?!,)" + _UNTIL.format(",ValueFrom:|,}")),
    (("command:[",), r"command:\[(?!\])" + _UNTIL.format(r"\],(?:Args:|})")),
    (("args:[",), r"args:\[(?!\])" + _UNTIL.format(r"\],WorkingDir:")),
    (("-----begin",), rf"(?P<x>-----BEGIN {_KEY}(?s:.{{0,16384}}?-----END {_KEY}|.{{0,16384}}))"),
    # base64 of "-----BEGIN", of "apiVersion" and of the same after "---"
    (("ls0tls1crudjti", "yxbpvmvyc2lvb", "ls0tcmfwavzlcnnpb2"), r"(?P<x>[\w+/=-]{30,})"),
    (("eyj",), r"(?P<x>(?-i:eyJ)(?:[\w-]{8,}(?:\.[\w-]+)+|[\w+/=-]{60,}))"),
    (("akia", "asia", "aroa", "aida"), r"(?<!\w)(?P<x>(?-i:A[A-Z]{3}[0-9A-Z]{16}))(?!\w)"),
    (("ghp_", "gho_", "ghs_", "ghu_", "ghr_", "github_pat_", "npm_", "dckr_pat_"), r"(?P<x>[a-z]+_\w{20,})"),
    (("glpat-", "xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-"), r"(?P<x>[a-z]+-[\w-]{10,})"),
    (("aiza", "hvs.", "ya29."), r"(?P<x>[\w.-]{24,})"),
)
_BY_WORD = tuple((word, re.compile(pattern, re.IGNORECASE)) for words, pattern in _PATTERNS for word in words)
_BY_LETTER = groupby(sorted(word for word, _ in _BY_WORD), key=itemgetter(0))
# Most texts have none of the words: that is told twice as fast by their first letters as by a look for each.
_ANY = re.compile("|".join(f"{letter}(?:{'|'.join(re.escape(w[1:]) for w in words)})" for letter, words in _BY_LETTER))
# kubeadm's bootstrap tokens (bootstrapapi.BootstrapTokenPattern), which no word tells; with a digit, unlike host names.
_BOOTSTRAP = re.compile(r"\.(?<=(?<![\w.-])[a-z0-9]{6}\.)(?=[a-z]{0,15}[0-9])[a-z0-9]{16}(?![\w-])")
_ID = 6  # of its letters
_ENDS_AS_NAMED = re.compile(rf"{_NAME}\Z", re.IGNORECASE)


def scrub(text: str) -> str:
    """The text without the secrets in it; REMOVED stands in their place."""
    for _ in range(PASSES):
        kept = _scrubbed_once(text)
        if kept == text:
            break
        text = kept
    return text


def _scrubbed_once(text: str) -> str:
    spans = sorted(_spans(text))
    if not spans:
        return text
    parts, at = [], 0
    for start, end in spans:
        if start >= at:
            parts += [text[at:start], REMOVED]
        at = max(at, end)
    return "".join([*parts, text[at:]])


def scrubbed(value: JSON, as_it_is: Collection[str] = ()) -> JSON:
    """The same of all texts in JSON, and of those with a name that says so. What has a name of `as_it_is` stays."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {name: each if name in as_it_is else _named(name, each, as_it_is) for name, each in value.items()}
    return [scrubbed(each, as_it_is) for each in value] if isinstance(value, list | tuple) else value


def scrub_file(path: Path) -> None:
    """The same of a file that a program has written, once it is whole. Raises OSError."""
    said = path.read_bytes().decode(errors="replace")
    place(path, scrub(said))


def _named(name: str, value: JSON, as_it_is: Collection[str]) -> JSON:
    hidden = isinstance(value, str) and value and _ENDS_AS_NAMED.search(name[-64:])
    return REMOVED if hidden else scrubbed(value, as_it_is)


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets are; they may overlap."""
    small = text.lower()
    if len(small) != len(text):  # a few letters become two
        small = "".join(c if len(c.lower()) != 1 else c.lower() for c in text)
    there = [each for each in _BY_WORD if each[0] in small] if _ANY.search(small) else []
    for word, pattern in there:
        at = small.find(word)
        while at >= 0:
            found = pattern.match(text, at)
            end = at + len(word)
            if found is not None:
                span = found.span(found.lastgroup) if found.lastgroup in {"x", "y"} else found.span("x")
                yield span
                end = max(end, span[1])
            at = small.find(word, end)
    yield from ((found.start() - _ID, found.end()) for found in _BOOTSTRAP.finditer(text))
