"""JSON, JSON lines and YAML changed in ways that bytes alone seldom reach: nasty values in the place of good ones."""

import json
import random
from typing import Any

import yaml

NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, -(10**400), 0.5, -0.5, 1e308, -1e308, 1e-308,
    "", "a", "a" * 5000, "\0", "\ud800", "../../etc/passwd", "/dev/zero", "1-99999999999", "17-1", "-", "9" * 5000,
    "2026-99-99T99:99:99Z", "2026-01-01T00:00:00Z\n", "\x1b[2J", "::error::x", "[link=x]", "<b>", "inf", "nan",
    [], {}, [[]], {"": {}}, [None], {"a": 1, "b": [2]}, float("nan"), float("inf"),
)  # fmt: skip


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One or a few values changed, in one of the parts that NUL divides; b"" where it is nothing of the kind."""
    parts = data.split(b"\0")
    at = rng.randrange(len(parts))
    parts[at] = _mutated(parts[at], rng)
    return b"\0".join(parts) if parts[at] else b""


def _mutated(first: bytes, rng: random.Random) -> bytes:
    try:
        lines = first.splitlines(keepends=True)
        if first.startswith(b"{") and len(lines) > 1 and lines[0].rstrip().endswith(b"}"):  # JSON lines
            number = rng.randrange(len(lines))
            lines[number] = _changed(json.loads(lines[number]), rng).encode() + b"\n"
            if rng.random() < 0.2:
                lines.insert(rng.randrange(len(lines)), rng.choice(lines))
            return b"".join(lines)
        try:
            return _changed(json.loads(first), rng).encode()
        except ValueError:
            held = yaml.safe_load(first)
            for _ in range(rng.randint(1, 3)):
                held = _with_one(held, rng)
            return yaml.safe_dump(held).encode()
    except (ValueError, yaml.YAMLError, RecursionError, AttributeError, TypeError, OverflowError):
        return b""


def _changed(held: Any, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 3)):
        held = _with_one(held, rng)
    text = json.dumps(held)
    if rng.random() < 0.1:  # a name twice, which a mapping can't say
        at = [n for n, c in enumerate(text) if c == "{" and text[n + 1 : n + 2] == '"']
        if at:
            where = rng.choice(at) + 1
            name = text[where : text.index('"', where + 1) + 1]
            text = f"{text[:where]}{name}: 1, {text[where:]}"
    return text


def _with_one(held: Any, rng: random.Random) -> Any:
    """Another value somewhere, or one more, or one less."""
    inner = list(held.items()) if isinstance(held, dict) else list(enumerate(held)) if isinstance(held, list) else []
    if not inner or rng.random() < 0.1:
        return rng.choice(NASTY)
    key, value = rng.choice(inner)
    how = rng.random()
    made = dict(held) if isinstance(held, dict) else list(held)
    if how < 0.05:
        del made[key]
    elif how < 0.1 and isinstance(made, list):
        made.append(rng.choice(made))
    else:
        made[key] = _with_one(value, rng)
    return made
