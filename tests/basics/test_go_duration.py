"""Times as Go writes them, and what only looks like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.basics.go_duration import go_seconds

UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
PARTS = st.lists(
    st.tuples(st.integers(0, 9999), st.integers(0, 99), st.sampled_from(sorted(UNITS_S))), min_size=1, max_size=5
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7.234s", 7.234),
        ("3m32.5s", 212.5),
        ("58h29m1s", 210541),
        ("250ms", 0.25),
        ("1.5µs", 0.000002),  # to the microsecond
        ("0s", 0),
        ("0", 0),
        (".5h", 1800),
        ("-5s", -5),
    ],
)
def test_go_durations(text: str, expected: float) -> None:
    assert go_seconds(text) == pytest.approx(expected)


@given(PARTS)
def test_the_parts_are_added_up(parts: list[tuple[int, int, str]]) -> None:
    text = "".join(f"{whole}.{hundredths:02}{unit}" for whole, hundredths, unit in parts)
    expected = sum((whole + hundredths / 100) * UNITS_S[unit] for whole, hundredths, unit in parts)
    assert go_seconds(text) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "s",
        ".s",
        "1..2s",
        "5x",
        "5 s",
        "1h 2m",
        "1h,2m",
        "1h2",
        "x1h",
        "1h\n",
        "--5s",
        "1d",
        "1w",
        "1mm",
        "1y",
        "infs",
        "nans",
        "1e9s",
        "٣s",
        "9" * 60 + "h",  # more than a timedelta holds
        "9" * 400 + "h",  # more than a float holds
        "9" * 10_000_000,
    ],
    ids=lambda text: repr(text[:12]),
)
def test_what_is_none(text: str) -> None:
    assert go_seconds(text) is None


@given(st.text() | st.text("0123456789.hmnsuµμ+-"))
def test_any_text_is_a_number_or_none(text: str) -> None:
    found = go_seconds(text)
    assert found is None or abs(found) < float("inf")
