"""A timeline as a figure for plotly.js: JSON that is safe inside a page."""

from collections.abc import Iterator, Sequence
from html import escape
from math import isnan, log10

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from chaos.basics.visible import visible
from chaos.record.history import Window
from chaos.report import panels
from chaos.report.panels import Bar, Mark, Panel, Series, Timeline

LANE_PX, STRIP_PX, GAP_PX = 20, 130, 46
LABEL = 28  # characters of a lane's name
# The palette of Okabe and Ito, which people with any colour vision can tell apart ("Color Universal Design", 2008).
ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#999999"
LINES = (BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE, YELLOW, GREY)
STATES = {
    panels.READY: GREEN,
    panels.READY + panels.TAINTED: YELLOW,
    panels.NOT_READY: ORANGE,
    panels.NOT_READY + panels.TAINTED: VERMILLION,
    panels.UNKNOWN: SKY,
    panels.UNKNOWN + panels.TAINTED: PURPLE,
    panels.RUNNING: ORANGE,
    panels.PENDING: SKY,
    panels.TERMINATING: VERMILLION,
    panels.ENDED: GREY,
    panels.NO_ANSWER: VERMILLION,
    panels.NOT_SEEN: GREY,
    panels.APPLIED: ORANGE,
    panels.LANDED: VERMILLION,
    panels.HARM_STAYS: PURPLE,
    panels.WARNING: VERMILLION,
    panels.NORMAL: BLUE,
    panels.SEEN: GREEN,
    "acknowledged": GREEN,
    "refused": VERMILLION,
    "spec passed": GREEN,
    "spec flaky": YELLOW,
    "spec failed": VERMILLION,
    "spec late": ORANGE,
    "spec skipped": GREY,
    "spec no-image": SKY,
    "spec lost": PURPLE,
}
PHASES = (SKY, "#BBBBBB")  # by turns; the name stands in the bar
# States that need more than a colour have a pattern too.
PATTERNS = {panels.NO_ANSWER: "x", panels.TERMINATING: "/", panels.NOT_SEEN: ".", panels.LANDED: "/"}


def figure(timeline: Timeline) -> str:
    """The figure of a timeline as JSON without any character that could end the script element around it."""
    heights = [_height(panel) for panel in timeline.panels]
    whole = max(1, sum(heights) + GAP_PX * len(heights))
    fig = make_subplots(
        rows=max(1, len(heights)),
        shared_xaxes=True,
        row_heights=[height / sum(heights) for height in heights] or None,
        vertical_spacing=min(GAP_PX / whole, 1 / max(1, len(heights))),
        subplot_titles=[_text(panel.title) for panel in timeline.panels],
    )
    legend: set[str] = set()
    for row, panel in enumerate(timeline.panels, start=1):
        for trace in _traces(panel, legend):
            fig.add_trace(trace, row=row, col=1)
        if panel.lanes:
            _label_lanes(fig, panel, row)
        else:
            fig.update_yaxes(rangemode="tozero", row=row, col=1)
        for unseen in panel.unseen:
            _shade(fig, unseen, f"y{row if row > 1 else ''} domain", GREY, 0.5, "not seen", "above")
    for number, fault in enumerate(timeline.faults):
        _shade(fig, fault, "paper", VERMILLION, 0.1, "fault" if number == 0 else "", "below")
    fig.update_annotations(x=0, xanchor="left", font_size=13)
    fig.update_xaxes(range=[0, timeline.end], showspikes=True, spikemode="across", spikethickness=1, spikedash="dot")
    fig.update_xaxes(title_text="seconds since the recording began", row=max(1, len(heights)), col=1)
    fig.update_layout(
        template="none",
        barmode="overlay",
        hovermode="closest",
        dragmode="zoom",
        height=whole + 110,
        margin={"l": _margin(timeline.panels), "r": 10, "t": 30, "b": 90},
        legend={"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        font={"size": 12},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    return safe(str(fig.to_json()))


def _shade(fig: go.Figure, span: Window, yref: str, colour: str, opacity: float, label: str, layer: str) -> None:
    """Shade a span of time over the height of `yref`."""
    fig.add_shape(
        type="rect",
        xref="x",
        yref=yref,
        x0=span.start,
        x1=span.end,
        y0=0,
        y1=1,
        fillcolor=colour,
        opacity=opacity,
        line_width=0,
        layer=layer,
        label={"text": label, "textposition": "top left", "font": {"size": 10}},
    )


def safe(json: str) -> str:
    """JSON that means the same, and in which no character can end a script element or begin a comment."""
    return json.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _height(panel: Panel) -> int:
    return STRIP_PX if not panel.lanes else max(1, len(panel.lanes)) * LANE_PX + 6


def _traces(panel: Panel, legend: set[str]) -> Iterator[go.Bar | go.Scatter]:
    for state in dict.fromkeys(bar.state for bar in panel.bars):
        yield from _bars([bar for bar in panel.bars if bar.state == state], state, legend)
    for state in dict.fromkeys(mark.state for mark in panel.marks):
        yield _marks([mark for mark in panel.marks if mark.state == state], state, legend)
    for number, series in enumerate(panel.series):
        yield _line(series, STATES.get(series.name, LINES[number % len(LINES)]), panel, legend)


def _bars(bars: Sequence[Bar], state: str, legend: set[str]) -> Iterator[go.Bar]:
    known = state in STATES
    shown = known and state not in legend
    legend.add(state)
    colours = [STATES[state]] * len(bars) if known else [PHASES[len(state) % 2]] * len(bars)
    yield go.Bar(
        orientation="h",
        name=_text(state),
        legendgroup=_text(state),
        showlegend=shown,
        base=[_s(bar.start) for bar in bars],
        x=[_s(bar.end - bar.start) for bar in bars],
        y=[_text(bar.lane) for bar in bars],
        text=None if known else [_text(state)] * len(bars),
        textposition="inside",
        insidetextanchor="start",
        textangle=0,
        constraintext="none" if known else "inside",
        textfont={"size": 10, "color": "#000000"},
        marker={
            "color": colours[0],
            "line": {"width": 0.5, "color": "rgba(128,128,128,0.6)"},
            "pattern": {"shape": PATTERNS.get(state, ""), "size": 5, "fgopacity": 0.5, "fillmode": "overlay"},
        },
        width=0.8,
        customdata=[_hover(bar) for bar in bars],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _hover(bar: Bar) -> str:
    span = f"{bar.start:.2f} s to {bar.end:.2f} s ({bar.end - bar.start:.2f} s)"
    return "<br>".join(filter(None, (f"<b>{_text(bar.lane)}</b>", f"{_text(bar.state)}, {span}", _folded(bar.detail))))


def _marks(marks: Sequence[Mark], state: str, legend: set[str]) -> go.Scatter:
    shown = state not in legend
    legend.add(state)
    return go.Scatter(
        mode="markers",
        name=_text(state),
        legendgroup=_text(state),
        showlegend=shown,
        x=[_s(mark.at) for mark in marks],
        y=[_text(mark.lane) for mark in marks],
        marker={
            "color": STATES[state],
            "symbol": "diamond" if state == panels.WARNING else "circle",
            "size": [round(6 + 4 * log10(mark.count), 1) for mark in marks],
            "opacity": 0.8,
        },
        customdata=[
            f"<b>{_text(mark.lane)}</b> at {mark.at:.2f} s"
            f"{f', {mark.count} times' if mark.count > 1 else ''}<br>{_folded(mark.detail)}"
            for mark in marks
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _line(series: Series, colour: str, panel: Panel, legend: set[str]) -> go.Scatter:
    shown = series.name not in legend
    legend.add(series.name)
    return go.Scatter(
        mode="lines",
        name=_text(series.name),
        legendgroup=_text(series.name),
        showlegend=shown,
        x=[_s(at) for at in series.at],
        y=[None if isnan(value) else round(value, 4) for value in series.values],
        line={"color": colour, "width": 0.4 if panel.stacked else 1.6, "shape": "hv" if series.steps else "linear"},
        stackgroup="states" if panel.stacked else None,
        fillcolor=colour if panel.stacked else None,
        hovertemplate=f"<b>{_text(series.name)}</b><br>%{{y}} at %{{x:.2f}} s<extra></extra>",
    )


def _label_lanes(fig: go.Figure, panel: Panel, row: int) -> None:
    fig.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[_text(lane) for lane in panel.lanes],
        range=[len(panel.lanes) - 0.5, -0.5],  # the first lane on top
        tickmode="array",
        tickvals=[_text(lane) for lane in panel.lanes],
        ticktext=[_text(_label(lane)) for lane in panel.lanes],
        tickfont={"size": 10},
        fixedrange=True,
        showgrid=False,
        row=row,
        col=1,
    )


def _margin(panels: Sequence[Panel]) -> int:
    """Room for the lanes' names, in pixels. plotly.js can find it by itself, but draws everything again for it."""
    return 24 + 6 * max([4, *(len(_label(lane)) for panel in panels for lane in panel.lanes)])


def _label(lane: str) -> str:
    """Without the namespace; a name begins with what it is, and ends with what tells it from its likes."""
    name = lane if "->" in lane else lane.rpartition("/")[2]
    half = LABEL // 2
    return name if len(name) <= LABEL else f"{name[: half - 1]}…{name[-half:]}"


def _folded(text: str, width: int = 70) -> str:
    return "<br>".join(_text(text[at : at + width]) for at in range(0, len(text), width))


def _text(text: str) -> str:
    """plotly.js reads texts as a kind of HTML: what comes from a cluster is escaped."""
    return escape(visible(text), quote=False)


def _s(at: float) -> float:
    return round(at, 3)
