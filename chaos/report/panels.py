"""What a timeline is drawn of: strips over one axis, with bars and marks on lanes, or numbers over time."""

from dataclasses import dataclass

from chaos.record.history import Window

READY, NOT_READY, UNKNOWN, TAINTED = "Ready", "not Ready", "Ready unknown", ", tainted NoExecute"
RUNNING, PENDING, TERMINATING, ENDED = "running, not Ready", "pending", "terminating", "ended"
NO_ANSWER, NOT_SEEN, LANDED, APPLIED, HARM_STAYS = (
    "no answer",
    "not seen",
    "fault landed",
    "fault applied",
    "not undone",
)
WARNING, NORMAL, SEEN = "warning", "normal", "seen"


@dataclass(frozen=True, slots=True)
class Bar:
    """A lane was in a state from `start` to `end`, in seconds."""

    lane: str
    start: float
    end: float
    state: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """`count` things happened on a lane around `at`; `detail` is about the first of them."""

    lane: str
    at: float
    state: str
    detail: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Series:
    """Numbers over time; not a number where there was none. `steps`: each lasts until the next."""

    name: str
    at: tuple[float, ...]
    values: tuple[float, ...]
    steps: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One strip of a timeline: bars and marks on lanes, or series. `note` says what is not drawn.

    `unseen`: when its source could not be seen, so that what is drawn there is what was seen last.
    """

    title: str
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()
    series: tuple[Series, ...] = ()
    stacked: bool = False
    note: str = ""
    unseen: tuple[Window, ...] = ()

    @property
    def lanes(self) -> tuple[str, ...]:
        """The names of the lanes, in the order in which they are first used."""
        return tuple(dict.fromkeys([*(bar.lane for bar in self.bars), *(mark.lane for mark in self.marks)]))


@dataclass(frozen=True, slots=True)
class PanelLine:
    """A line of the timeline as text."""

    at: float
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """A history as strips over one axis of `end` seconds that begins at Unix time `began_wall`; and as text."""

    end: float
    began_wall: float
    faults: tuple[Window, ...]
    panels: tuple[Panel, ...]
    steps: tuple[PanelLine, ...]
    steps_left_out: int = 0
