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
_NOT_A_WORD = re.compile(r"\W+")


class _File(msgspec.Struct, forbid_unknown_fields=True):
    specs: tuple[str, ...]
    images: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user asked for: a set, or those whose full name a regular expression finds (`focus`)."""

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
        focus = compiled(wanted.focus)
        found = tuple(each for each in listing.specs if focus.search(each.text))
        if not found:
            raise OrdealError(
                f"--focus {wanted.focus!r} matches none of the {len(listing.specs)} specs of e2e.test {listing.version}"
            )
        return found
    if wanted.of == SMOKE:
        return smoke()
    return tuple(each for each in listing.specs if wanted.of == EVERY or each.conformance)


def compiled(focus: str) -> "re.Pattern[str]":
    """The regular expression of --focus. Raises OrdealError where it is none."""
    try:
        return re.compile(focus)
    except re.error as error:
        raise OrdealError(f"--focus {focus!r} is no regular expression: {error}") from error


def markers(of: Spec) -> tuple[str, ...]:
    """The names of a spec's pytest markers: "spec", its area, its labels; "Feature:GPU" is feature_gpu."""
    named = (marker(label) for label in of.labels)
    return tuple(dict.fromkeys(("spec", marker(of.area), *(name for name in named if name))))


def marker(label: str) -> str:
    """A label, or an area, as the name of a marker; sig-node is node."""
    return _NOT_A_WORD.sub("_", label.removeprefix("sig-").lower()).strip("_")


def _file() -> _File:
    return msgspec.yaml.decode((manifests_dir() / "conformance-smoke.yaml").read_bytes(), type=_File)
