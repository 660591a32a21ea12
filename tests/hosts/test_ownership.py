"""What root makes in somebody's folders is handed back to them; a child of this process is root with that home."""

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaos.hosts import ownership
from chaos.hosts.places import cache_dir, state_dir
from chaos.results.results import Results

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what is another's")
USER, GROUP = 12345, 12346


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's home, with a folder of programs' caches that is there already."""
    made = tmp_path / "home"
    (made / ".cache" / "theirs").mkdir(parents=True)
    for path in (made, made / ".cache", made / ".cache" / "theirs"):
        os.chown(path, USER, GROUP)
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(made))
    monkeypatch.setenv("SUDO_UID", str(USER))
    return made


def of_root(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.lstat().st_uid == 0)


def test_the_command_leaves_nothing_of_roots_in_a_home(home: Path) -> None:
    # The state folder is made where an engine answers, and this machine may have none.
    script = "from chaos.cli.app import main; from chaos.hosts.places import state_dir; state_dir(); main()"
    argv = [sys.executable, "-c", f"import os; os.umask(0o077); {script}", "doctor", "--for", "simulated", "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 1, done.stderr  # nothing is built there
    assert (home / ".cache" / "kube-ordeal").is_dir()
    assert list(of_root(home)) == []
    made = home / ".local" / "state"  # whose parents were not there
    assert {path.lstat().st_gid for path in (made, made.parent)} == {GROUP}


def test_what_root_uses_again_is_not_given_to_who_has_not_called_sudo(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a container that is root and has the folder of another user as its home."""
    monkeypatch.delenv("SUDO_UID")
    folders = cache_dir(), state_dir()
    (home / "go" / "pkg").mkdir(parents=True)
    ownership.will_write(home / "go" / "pkg")
    ownership.hand_back()
    assert {folder.stat().st_uid for folder in folders} == {0}
    assert list(of_root(home / "go")) == []
    assert (cache_dir(), state_dir()) == folders  # and root uses them again


def test_what_go_wrote_is_handed_back_also_after_a_kill(home: Path) -> None:
    killed = textwrap.dedent(
        """
        import os, signal
        from pathlib import Path
        from chaos.hosts.ownership import will_write
        cache = Path.home() / "go" / "pkg"
        will_write(cache)
        (cache / "mod").mkdir(parents=True)
        (cache / "mod" / "x").write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    subprocess.run([sys.executable, "-c", killed], check=False, timeout=60)
    assert list(of_root(home / "go"))
    ownership.hand_back()
    assert list(of_root(home)) == []


def test_what_a_run_that_goes_on_will_write_is_left_to_it(home: Path) -> None:
    going_on = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from chaos.hosts.ownership import hand_back, will_write
        cache = Path.home() / "go" / "pkg"
        will_write(cache)
        print("told", flush=True)
        sys.stdin.readline()
        cache.mkdir(parents=True)
        hand_back()
        """
    )
    argv = [sys.executable, "-c", going_on]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "told\n"
        ownership.hand_back()
        other.communicate("go on\n", timeout=60)
    assert (home / "go" / "pkg").is_dir()
    assert list(of_root(home)) == []
    assert list((home / ".local" / "state" / "kube-ordeal").glob(f"{ownership.LIST}*")) == []


def test_results_belong_to_whom_the_folder_does(home: Path) -> None:
    project = home / "project"
    project.mkdir()
    os.chown(project, USER, GROUP)
    Results(project / "results", "20260101-000000-abcd", {})
    assert list(of_root(project))
    ownership.hand_back()
    assert list(of_root(project)) == []


def test_what_is_another_users_or_the_nodes_is_left_alone(home: Path) -> None:
    state = home / ".local" / "state" / "kube-ordeal"
    shared, foreign = state / "clusters" / "c" / "shared", state / "foreign"
    shared.mkdir(parents=True)
    (shared / "volume").write_text("")
    (state / "clusters" / "c" / "kubeconfig").write_text("")
    foreign.write_text("")
    os.chown(foreign, 999, 999)
    (state / "link").symlink_to("/etc/hostname")
    before = Path("/etc/hostname").stat().st_uid
    ownership.hand_back()
    assert {path.relative_to(state) for path in of_root(state)} == {
        Path("clusters/c/shared"),
        Path("clusters/c/shared/volume"),
    }
    assert foreign.stat().st_uid == 999
    assert Path("/etc/hostname").stat().st_uid == before


def test_what_python_and_pytest_write_beside_the_code_is_the_checkouts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A runner that is not root clears its folders before the next job."""
    code, venv = tmp_path / "code", tmp_path / "venv"
    for made in (code / "suites" / "__pycache__", code / ".pytest_cache" / "v", venv / "lib" / "x" / "__pycache__"):
        made.mkdir(parents=True)
        (made / "y").touch()
    for kept in (code / "suites" / "of-root", venv / "of-root"):
        kept.touch()
    for folder in (code, code / "suites", venv, venv / "lib", venv / "lib" / "x"):
        os.chown(folder, USER, GROUP)
    monkeypatch.setattr(ownership, "beside", lambda: code)
    monkeypatch.setattr(sys, "prefix", str(venv))
    ownership.hand_back()
    assert sorted(path.name for path in of_root(tmp_path)) == ["of-root", "of-root"]


def test_roots_own_home_stays_roots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".cache" / "kube-ordeal").mkdir(parents=True)
    ownership.will_write(tmp_path / "go")
    ownership.hand_back()
    assert (tmp_path / ".cache" / "kube-ordeal").stat().st_uid == 0
    assert not (tmp_path / ".local").exists()


def test_a_link_in_a_home_makes_nothing_elsewhere_the_users(home: Path, tmp_path: Path) -> None:
    """The list is in the user's own state folder: whoever has that can write into it what they like."""
    victim = tmp_path / "etc"
    (victim / "deep").mkdir(parents=True)
    (victim / "deep" / "shadow").write_text("")
    (home / "to").symlink_to(tmp_path)
    (home / ".cache" / "kube-ordeal").symlink_to(victim)
    state = home / ".local" / "state" / "kube-ordeal"
    state.mkdir(parents=True)
    (state / f"{ownership.LIST}-0-0").write_text(f"{home}/to/etc\n{home}/to/etc/deep\n")
    ownership.hand_back()
    assert {path.lstat().st_uid for path in (victim, *victim.rglob("*"))} == {0}


def test_a_file_that_has_another_name_elsewhere_is_left_alone(home: Path, tmp_path: Path) -> None:
    victim = tmp_path / "shadow"
    victim.write_text("")
    cache = home / ".cache" / "kube-ordeal"
    cache.mkdir()
    os.link(victim, cache / "mine")
    ownership.hand_back()
    assert victim.stat().st_uid == 0
    assert cache.stat().st_uid == USER


def test_a_folder_that_becomes_a_link_meanwhile_is_not_entered(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at a file and its change of hands somebody puts a link in the place of its folder."""
    victim, cache = tmp_path / "etc", home / ".cache" / "kube-ordeal"
    for folder in (victim, cache / "sub"):
        folder.mkdir(parents=True)
        (folder / "f").write_text("")
    given = os.chown

    def swapped(name: str, *owner: int, **how: Any) -> None:
        if not (cache / "sub").is_symlink():
            (cache / "sub").rename(cache / "gone")
            (cache / "sub").symlink_to(victim)
        given(name, *owner, **how)

    monkeypatch.setattr(os, "chown", swapped)
    ownership.hand_back()
    assert (cache / "sub").is_symlink()
    assert (victim / "f").stat().st_uid == 0
