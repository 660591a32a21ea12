"""One of upstream's specs: its full name, labels, area, and a short id that stays."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

CONFORMANCE, SERIAL, DISRUPTIVE, SLOW, FLAKY = "Conformance", "Serial", "Disruptive", "Slow", "Flaky"
_LABEL = re.compile(r"\[[^\]]*\]")
_PROMOTION = re.compile(r"\[(?:Node)?Conformance\]")
_WORD = re.compile(r"[a-z0-9]+")
_FILLING = frozenset(("a", "an", "and", "are", "be", "by", "for", "in", "is", "of", "on", "that", "the", "to"))
_ID_WORDS = 9
_NO_AREA = "other"


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec of e2e.test.

    `text` is upstream's full name, such as "[sig-node] Pods should be updated [NodeConformance] [Conformance]".
    `labels` are Ginkgo's, as e2e.test gives them ("Conformance", "Serial", "Feature:Foo"). `area` is the special
    interest group that owns it, without "sig-": node, network, storage, apps, api-machinery...
    """

    id: str
    text: str
    labels: tuple[str, ...]
    area: str

    @property
    def conformance(self) -> bool:
        """Whether the conformance programme asks for it."""
        return CONFORMANCE in self.labels

    @property
    def serial(self) -> bool:
        """Whether nothing else may run beside it."""
        return SERIAL in self.labels


def spec(text: str, labels: Iterable[str]) -> Spec:
    """The spec of that full name."""
    return Spec(id_of(text), text, tuple(dict.fromkeys(labels)), area_of(text))


def id_of(text: str) -> str:
    """Area, the last telling words of the name, and six hex digits of its digest: the same in each version that has it.

    A spec that is promoted to conformance keeps its id: that label is not in it.
    """
    words = [word for word in _WORD.findall(_LABEL.sub(" ", text).lower()) if word not in _FILLING][-_ID_WORDS:]
    lasting = " ".join(_PROMOTION.sub(" ", text).split())
    return "-".join([area_of(text), *words, hashlib.sha256(lasting.encode()).hexdigest()[:6]])


def area_of(text: str) -> str:
    """The special interest group in the name, without "sig-"; "other" where it names none."""
    found = re.search(r"\[sig-([a-z0-9-]+)\]", text)
    return found[1] if found else _NO_AREA
