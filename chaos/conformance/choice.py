"""Which of upstream's specs a run has: those of the profile smoke, all conformance ones, all, or those of a focus."""

import re
from dataclasses import dataclass

import msgspec

from chaos.conformance.listing import Listing
from chaos.conformance.spec import Spec, spec
from chaos.errors import OrdealError
from chaos.hosts.places import manifests_dir

SMOKE, CONFORMANT, EVERY = "smoke", "conformance", "all"
SETS = (SMOKE, CONFORMANT, EVERY)
OF_PROFILE = {"smoke": SMOKE, "full": CONFORMANT}
_IN_NAME = re.compile(r"\[([^\]]+)\]")
# An area or a label as upstream writes it, [sig-node] or [Feature:GPU]: to a regular expression, a set of characters.
# One with a backslash before it, or a count after it, was meant as an expression.
_TAG = re.compile(r"(?<!\\)\[((?=[^\]]{4})(?:sig-[a-z-]+|[A-Z][a-z]+[A-Za-z]*(?::[\w.:-]+)?))\](?![*+?{])")
_OF_JUNIT = re.compile(r"\\?\[It\\?\] *")  # what a spec's name begins with in upstream's junit files
_NOT_A_WORD = re.compile(r"\W+")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    specs: tuple[str, ...]
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for: a set, or those whose full name a regular expression finds (`focus`).

    A name, or a part of one, may be given as it is, also with the `[It] ` that it has in junit files.
    """

    of: str = SMOKE
    focus: str = ""

    @property
    def needs_listing(self) -> bool:
        """Whether only e2e.test itself can say which they are."""
        return bool(self.focus) or self.of != SMOKE


def smoke() -> tuple[Spec, ...]:
    """The specs of the profile smoke, without a look at e2e.test: their labels are those in their names."""
    return tuple(spec(text, _IN_NAME.findall(text)) for text in _file().specs)


def smoke_images() -> tuple[str, ...]:
    """The images that those specs run, by the last part of their names."""
    return _file().images


def chosen(wanted: Wanted, listing: Listing) -> tuple[Spec, ...]:
    """The specs, those that may run side by side first, then the serial ones. Raises OrdealError where none is left."""
    if wanted.focus:
        focus, name = compiled(wanted.focus), _without_junit(wanted.focus)
        found = tuple(each for each in listing.specs if name in each.text or focus.search(each.text))
        if not found:
            raise OrdealError(
                f"--ordeal-focus {wanted.focus!r} matches none of the {len(listing.specs)} specs of "
                f"e2e.test {listing.version}"
            )
        return found
    if wanted.of == SMOKE:
        return smoke()
    return tuple(each for each in listing.specs if wanted.of == EVERY or each.conformance)


def compiled(focus: str) -> "re.Pattern[str]":
    """The regular expression of --ordeal-focus; upstream's tags in it, as [sig-node], are taken as they are written.

    Raises OrdealError where it is none.
    """
    name = _without_junit(focus)
    if focus and not name:
        raise OrdealError(f"--ordeal-focus {focus!r} names no spec: write something of its name after it")
    try:
        return re.compile(_TAG.sub(r"\[\1\]", name))
    except re.error as error:
        raise OrdealError(f"--ordeal-focus {focus!r} is no regular expression: {error}") from error


def _without_junit(focus: str) -> str:
    match = _OF_JUNIT.match(focus)
    return focus[match.end() :] if match else focus


def markers(of: Spec) -> tuple[str, ...]:
    """The names of a spec's pytest markers: "spec", its area, its labels; "Feature:GPU" is feature_gpu."""
    named = (marker(label) for label in of.labels)
    return tuple(dict.fromkeys(("spec", marker(of.area), *(name for name in named if name))))


def marker(label: str) -> str:
    """A label, or an area, as the name of a marker; sig-node is node."""
    return _NOT_A_WORD.sub("_", label.removeprefix("sig-").lower()).strip("_")


def _file() -> _File:
    return msgspec.yaml.decode((manifests_dir() / "conformance-smoke.yaml").read_bytes(), type=_File)
