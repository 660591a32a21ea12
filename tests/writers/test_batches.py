"""Batches: every write is in exactly one, and a slow one is alone."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.writers.batches import SLOW_S, Batches


def packed(path: Path, writes: list[tuple[bool, float, str]]) -> list[dict[str, Any]]:
    fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
    try:
        batches, at = Batches("c", fd), 0.0
        for number, (ok, took_s, error) in enumerate(writes, start=1):
            batches.add(number, ok=ok, start=at, end=at + took_s, error=error)
            at += took_s
        batches.flush()
    finally:
        os.close(fd)
    return [json.loads(line) for line in path.read_text().splitlines()]


WRITE = st.tuples(st.booleans(), st.floats(0.001, 1.0), st.sampled_from(["", "refused"]))


@given(st.lists(WRITE, max_size=40))
def test_each_write_is_in_one_batch_with_its_own_outcome(
    tmp_path_factory: pytest.TempPathFactory, writes: list[tuple[bool, float, str]]
) -> None:
    lines = packed(tmp_path_factory.getbasetemp() / "lines", writes)
    numbers = [(n, line) for line in lines for n in range(line["first"], line["last"] + 1)]
    assert [n for n, _ in numbers] == list(range(1, len(writes) + 1))
    for (ok, took_s, error), (_, line) in zip(writes, numbers, strict=True):
        assert (line["ok"], line["error"]) == (ok, error)
        assert took_s <= SLOW_S or line["first"] == line["last"]


def test_quick_writes_are_packed(tmp_path: Path) -> None:
    lines = packed(tmp_path / "lines", [(True, 0.001, "")] * 1000)
    assert len(lines) <= 5
    assert lines[0]["took_s"] <= 0.26
