"""Whatever ever crashed a reader, or reached something new in it, is read without a crash."""

import shutil
from pathlib import Path

import pytest

from tests.fuzz.readers import READERS, ROOT, fuzz, kept


def test_each_reader_has_a_corpus_and_nothing_else_has() -> None:
    assert {each.name for each in (ROOT / "corpus").iterdir()} == READERS.keys()
    assert {each.name for each in (ROOT / "found").glob("*")} <= READERS.keys()


@pytest.mark.parametrize("reader", READERS)
def test_what_is_kept_crashes_no_reader_and_some_of_it_is_read_to_the_end(
    reader: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reader == "signature" and shutil.which("ssh-keygen") is None:
        pytest.skip("this machine has no ssh-keygen")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    read = [path.name for path in kept(reader) if fuzz(reader, path.read_bytes(), tmp_path)]
    assert read, f"a harness that takes none of {[path.name for path in kept(reader)]} looks at nothing"
