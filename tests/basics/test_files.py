"""Files are put in place whole, and no link that somebody has laid is followed, neither to write nor to read."""

import os
import stat
from pathlib import Path

import pytest

from chaos.basics import files


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file outside of the folder, which nobody may change or see."""
    path = tmp_path / "victim"
    path.write_text("secret")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    return path


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_a_file_takes_the_place_of_what_was_there(folder: Path, victim: Path) -> None:
    files.place(folder / "new", "one")
    files.place(folder / "new", b"two")
    (folder / "link").symlink_to(victim)
    files.place(folder / "link", "three")
    assert ((folder / "new").read_text(), (folder / "link").read_text()) == ("two", "three")
    assert victim.read_text() == "secret"
    assert names(folder) == ["link", "new"]


def test_it_is_whole_or_not_there(folder: Path) -> None:
    (folder / "f").write_text("old")

    def fails() -> None:
        with files.placed(folder / "f") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert (folder / "f").read_text() == "old"
    assert names(folder) == ["f"]


def test_its_name_until_then_is_another_one_each_time(folder: Path) -> None:
    seen = set()
    for _ in range(3):
        with files.placed(folder / "f"):
            seen |= set(names(folder)) - {"f"}
    assert len(seen) == 3


def test_its_mode_is_what_was_asked_for_from_the_beginning(folder: Path) -> None:
    with files.placed(folder / "f", mode=0o600, durable=True) as file:
        assert stat.S_IMODE(os.fstat(file.fileno()).st_mode) == 0o600
    assert stat.S_IMODE((folder / "f").stat().st_mode) == 0o600


def test_folders_within_are_made_and_none_is_a_link(folder: Path, tmp_path: Path) -> None:
    files.place(folder / "a" / "b" / "f", "x", within=folder)
    assert (folder / "a" / "b" / "f").read_text() == "x"
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "link").symlink_to(outside)
    with pytest.raises(OSError, match="it is a link, and may lead anywhere"):
        files.place(folder / "link" / "f", "x", within=folder)
    with pytest.raises(OSError, match="it is a link"):
        files.place(folder / "link" / "deep" / "f", "x", within=folder)
    with pytest.raises(OSError, match="it leads out of"):
        files.place(folder / ".." / "outside" / "f", "x", within=folder)
    (tmp_path / "other").symlink_to(folder)
    with pytest.raises(OSError, match="it is a link"):
        files.place(tmp_path / "other" / "f", "x", within=tmp_path / "other")
    assert names(outside) == []


def test_a_link_takes_the_place_of_another_one(folder: Path) -> None:
    files.place_link(folder / "latest", "a")
    files.place_link(folder / "latest", "b")
    assert (folder / "latest").readlink() == Path("b")
    assert names(folder) == ["latest"]
    (folder / "d").mkdir()
    with pytest.raises(IsADirectoryError):
        files.place_link(folder / "d", "a")
    assert names(folder) == ["d", "latest"]


def test_a_device_that_a_user_names_stays_one(folder: Path) -> None:
    read, write = os.pipe()
    link = folder / "stdout"
    link.symlink_to(f"/proc/self/fd/{write}")
    files.hand_out(link, "said")
    assert os.read(read, 10) == b"said"
    assert link.is_symlink()
    os.close(read)
    os.close(write)
    files.hand_out(folder / "file", "said")
    assert (folder / "file").read_text() == "said"


def test_what_is_written_on_is_no_link_and_no_pipe(folder: Path, victim: Path) -> None:
    for content in (b"a", b"b"):
        with files.appended(folder / "log") as file:
            file.write(content)
    assert (folder / "log").read_text() == "ab"
    (folder / "link").symlink_to(victim)
    (folder / "dangling").symlink_to(folder.parent / "made")
    os.mkfifo(folder / "pipe")
    for name in ("link", "dangling", "pipe"):
        with pytest.raises(OSError):  # noqa: PT011  (which one is the kernel's choice)
            files.appended(folder / name)
    assert not (folder.parent / "made").exists()


def test_what_is_read_is_a_file_below_the_folder(folder: Path, victim: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "f").write_text("good")
    with files.opened(folder, "sub/f") as file:
        assert file.read() == b"good"
    (folder / "link").symlink_to(victim)
    (folder / "up").symlink_to(folder.parent)
    (folder.parent / "other").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    for name, why in {
        "link": "it is a link",
        "up/victim": "it is a link",
        "../victim": "it leads out of",
        str(victim): "it leads out of",
        "sub/../../victim": "it leads out of",
        "": "it leads out of",
        "a\0b": "it leads out of",
        "a\ud800": "it leads out of",
        "pipe": "it is no regular file",
        "sub": "it is no regular file",
        "none": "No such file",
        "sub/f/g": "Not a directory",
    }.items():
        with pytest.raises(OSError, match=why):
            files.opened(folder, name)
    with pytest.raises(OSError, match="it is a link"):
        files.opened(folder.parent / "other", "sub/f")


def test_a_folder_is_entered_only_without_a_link_on_the_way(folder: Path, tmp_path: Path) -> None:
    real = folder.resolve()
    with files.entered(real) as handle:
        assert os.fstat(handle).st_ino == folder.stat().st_ino
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError, match="it is a link"), files.entered(tmp_path.resolve() / "link" / "run"):
        pass


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("node-1.example", "node-1.example"),
        ("../../etc/passwd", "..-..-etc-passwd"),
        ("test_x[kind: hardened]", "test_x-kind--hardened"),
        ("..", "-"),
        ("", "-"),
        ("a\0b\n", "a-b"),
        ("\ud800é", "é"),
    ],
)
def test_a_file_name_leads_nowhere(text: str, name: str) -> None:
    assert files.file_name(text) == name
    assert len(files.file_name("ü" * 999).encode()) <= files.NAME_BYTES
