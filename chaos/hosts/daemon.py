"""The container engine that set-up starts: Debian's, in a session of its own, with data of its own; and its end.

What is changed on the machine is on record (chaos.hosts.record) before it is changed, so that `stop` takes back exactly
that, after a crash too.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from chaos.basics.progress import Report, silent
from chaos.basics.waiting import WaitedInVainError, eventually
from chaos.errors import OrdealError
from chaos.hosts import cgroups, engine, mounts, oci_runtime, packages, preparations, record
from chaos.hosts.command import LAST_LINES, run
from chaos.hosts.engine import Engine
from chaos.hosts.lock import locked
from chaos.hosts.places import state_dir
from chaos.hosts.record import MachineRecord

RUN_ROOT = Path("/run/kube-ordeal")
PID_FILE = RUN_ROOT / "docker.pid"
# Debian's packages, by the program that each brings.
PACKAGES = {
    "dockerd": "docker.io",
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "ip": "iproute2",
}
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0


def runs_on_our_data() -> bool:
    """Whether an engine runs on engine.DATA_ROOT, whoever started it: also one whose state is kept elsewhere."""
    return _is_told(f"--data-root={engine.DATA_ROOT}")


def install_and_start(report: Report = silent) -> Engine:
    """The engine that answers; where there is none, Debian's is installed and started, detached from this process.

    Raises OrdealError where one is there and can't be used, where root or Debian's packages are needed and lack, or the
    engine does not start.
    """
    with locked(_lock_file(), lambda: report("another run is starting the container engine, waiting")):
        _adopt()
        if (found := _usable(report)) is not None:
            return found
        packages.need_root("starting a container engine")
        missing = tuple(package for program, package in PACKAGES.items() if shutil.which(program) is None)
        if missing:
            packages.install(missing, report)
            if (found := _usable(report)) is not None:  # the package's own service may have started it
                return found
        _start(report)
        found = _usable(report)
        if found is None:
            raise OrdealError(f"the container engine started, and no docker client can talk to it; see {log_file()}.")
        report(f"container engine {found.version} answers")
        return found


def stop(report: Report = silent) -> None:
    """Take back what `install_and_start` and `preparations.prepare` did: engine, its mount, routes, limits, packages.

    A second call finds nothing to do. Raises OrdealError where the engine does not end.
    """
    with locked(_lock_file()):
        _adopt()
        if not record.read().runs and not runs_on_our_data() and _orphaned_containers():
            report("the container engine was killed and its containers still run: starting it, to stop them")
            _start(report)
        known, found = record.read().of_this_boot(), engine.find(report)
        ours = found if found is not None and found.ours else None
        if known.network and ours is not None:
            report(f"removing the network {known.network}")
            gone = ours.docker("network", "rm", known.network, check=False)
            if gone.code != 0 and "not found" not in gone.err.lower() and "no such" not in gone.err.lower():
                report(f"the network {known.network} stays: {gone.err.strip()}")
        bridges = _bridges(ours) if ours is not None else ("docker0",)
        if known.runs:
            report(f"stopping the container engine, process {known.pid}")
            _end(known)
        others = _another_is_there(report)
        if known.forwarding and others:
            report("bridges, firewall chains and forwarding stay, as another container engine uses them")
        elif known.forwarding:
            report("removing the engine's bridges and firewall chains")
            _remove_leftovers(known.forwarding, bridges)
        if mounted_on_itself():
            report(f"unmounting {engine.DATA_ROOT}, which the container engine mounted on itself")
            _unmount(report)
        preparations.take_back(known, report)
        moved = not known.cgroup or _move_back(Path(known.cgroup), report)
        if known.packages and others:
            report(f"these packages stay, as a container engine runs: {', '.join(known.packages)}")
        elif known.packages and packages.can_install():
            packages.remove(known.packages, report)
        if moved:
            record.forget()
        else:
            record.change(lambda _: MachineRecord(cgroup=known.cgroup))


def _another_is_there(report: Report) -> bool:
    """Whether a container engine is there, answering or not, after ours has ended: what is left may be its own."""
    answer = engine.ask(report)
    return isinstance(answer, Engine) or answer.taken


def _move_back(cgroup: Path, report: Report) -> bool:
    """Whether that was done; else it is left to the next teardown."""
    report(f"moving processes back into {cgroup}")
    try:
        cgroups.move_back(cgroup)
    except OSError as error:  # a container's cgroup is still there, say
        report(f"processes stay in {cgroup / cgroups.ASIDE} ({error.strerror}): call teardown again later")
        return False
    return True


def _usable(report: Report) -> Engine | None:
    """The engine that answers; None where there is none. Raises OrdealError where one is there and can't be used."""
    answer = engine.ask(report)
    if isinstance(answer, Engine):
        return answer
    if answer.taken and (known := record.read()).runs:
        raise OrdealError(
            f"the container engine that was started here, process {known.pid}, does not answer; see {log_file()}, "
            f"or end it with `kube-ordeal teardown`."
        )
    if answer.taken:
        raise OrdealError(f"{answer.why}.")
    return None


def missing_capabilities() -> tuple[str, ...]:
    """The capabilities that this machine's bounding set lacks, as CAP_NAME; a full root has none missing."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return oci_runtime.lacking(Path("/proc/self/status").read_text(), last)


def log_file() -> Path:
    """Where the engine that we start writes its log."""
    return state_dir() / "dockerd.log"


def _start(report: Report) -> None:
    """Start dockerd in a session of its own and wait until it answers. Never a second one on the same data."""
    if runs_on_our_data():
        raise OrdealError(
            f"a container engine runs on {engine.DATA_ROOT} already, and was started with another state folder than "
            f"{state_dir()}: use that one (XDG_STATE_HOME)."
        )
    daemon = shutil.which("dockerd")
    if daemon is None:
        raise OrdealError(
            "dockerd is not installed and the package docker.io did not bring it; install Docker yourself."
        )
    engine.DATA_ROOT.mkdir(parents=True, exist_ok=True)
    RUN_ROOT.mkdir(parents=True, exist_ok=True)
    command = [daemon, f"--data-root={engine.DATA_ROOT}", f"--exec-root={RUN_ROOT}/docker", f"--pidfile={PID_FILE}"]
    lacking = missing_capabilities()
    if lacking:
        report(f"this machine lacks {', '.join(lacking)}: containers go through a runtime that leaves them out")
        command += [f"--add-runtime=ordeal={_write_runtime()}", "--default-runtime=ordeal"]
    PID_FILE.unlink(missing_ok=True)
    forwarding = _forwarding()
    if forwarding and not record.read().of_this_boot().forwarding:
        record.change(lambda known: replace(known.of_this_boot(), forwarding=forwarding))
    if cgroups.in_the_way():
        report(f"moving this container's processes into a cgroup of their own, {cgroups.ROOT / cgroups.ASIDE}")
        record.change(lambda known: replace(known, cgroup=str(cgroups.ROOT)))
        cgroups.move_aside()
    report("starting the container engine")
    with log_file().open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    # A crash between these two lines leaves a daemon that is not on record: _adopt finds it by its pid file.
    _keep(child.pid)

    def answers() -> bool:
        if child.poll() is not None:
            return True
        return engine.find() is not None

    try:
        eventually(answers, within_s=START_TIMEOUT_S, what="the container engine to answer")
    except WaitedInVainError as error:
        raise OrdealError(
            f"the container engine did not answer within {START_TIMEOUT_S:g} s.\n{_log_tail()}"
        ) from error
    except BaseException:
        _end(record.read())  # Ctrl-C while it starts: nothing half-started stays
        raise
    if child.returncode is not None:
        raise OrdealError(f"the container engine ended at once, with {child.returncode}.\n{_log_tail()}")


def _write_runtime() -> Path:
    """Our OCI runtime as a script, with this machine's Python and runc in it, where the daemon goes on finding it."""
    runc = shutil.which("runc")
    if runc is None:
        raise OrdealError("runc is not installed; `apt-get install runc` brings it.")
    # Not the virtual environment's Python: it may be gone while the engine still runs.
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    interpreter = str(python) if python.is_file() else sys.executable
    source = Path(__file__).with_name("oci_runtime.py").read_text()
    script = source.replace("#!/usr/bin/env python3", f"#!{interpreter} -IS", 1).replace("/usr/sbin/runc", runc, 1)
    path = engine.DATA_ROOT.parent / "oci-runtime"  # root's own folder: root runs it
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(script)
    partial.chmod(0o755)
    partial.rename(path)
    return path


def _end(known: MachineRecord) -> None:
    """End the daemon by its pid: SIGTERM, which also stops its containers, then SIGKILL."""
    if not known.runs:
        return
    os.kill(known.pid, signal.SIGTERM)
    try:
        eventually(lambda: not known.runs, within_s=STOP_TIMEOUT_S, what="the container engine to end")
    except WaitedInVainError:
        if known.runs:
            os.kill(known.pid, signal.SIGKILL)
        eventually(lambda: not known.runs, within_s=10, what="the container engine to end after SIGKILL")


def _forwarding() -> dict[str, str]:
    """How this machine forwards packets before an engine runs; empty where one has been here and has changed it."""
    rules = run(["iptables", "-S"], check=False).out.splitlines()
    policies = [rule.split()[2] for rule in rules if rule.startswith("-P FORWARD ")]
    if not policies or "-N DOCKER" in rules:
        return {}
    return {"policy": policies[0], "ip_forward": preparations.sysctl("net.ipv4.ip_forward")}


def mounted_on_itself() -> bool:
    """Whether the engine's data root is still a mount of itself, and no engine runs on it.

    dockerd mounts its data root on itself to share what it mounts below, and unmounts it when it ends. After it was
    killed and started again it does not: it takes the mount for somebody else's (setupDaemonRootPropagation in moby's
    daemon/daemon_linux.go). A file system of the user's own at that place is no mount of itself.
    """
    return mounts.is_bound_on_itself(engine.DATA_ROOT) and not runs_on_our_data()


def _unmount(report: Report) -> None:
    while mounted_on_itself():
        done = run(["umount", "--recursive", str(engine.DATA_ROOT)], check=False)
        if done.code != 0:
            report(f"{engine.DATA_ROOT} stays mounted: {done.err.strip()}")
            return


def _bridges(found: Engine) -> tuple[str, ...]:
    """The host's interfaces of the engine's networks; it makes them again when it starts."""
    networks = found.docker("network", "ls", "--filter", "driver=bridge", "--format", "{{.ID}} {{.Name}}").out
    named = [line.split() for line in networks.splitlines()]
    return tuple("docker0" if name == "bridge" else f"br-{network}" for network, name in named)


def _remove_leftovers(before: Mapping[str, str], bridges: tuple[str, ...]) -> None:
    """Take away what dockerd leaves when it ends: bridges, its chains, the rules that lead to either, forwarding."""
    for bridge in bridges:
        run(["ip", "link", "delete", bridge], check=False)
    for table in ("filter", "nat"):
        listed = [shlex.split(line) for line in run(["iptables", "-t", table, "-S"], check=False).out.splitlines()]
        chains = [rule[1] for rule in listed if rule[0] == "-N" and rule[1].startswith("DOCKER")]
        for rule in listed:
            if rule[0] == "-A" and rule[1] not in chains and {*bridges, *chains} & set(rule):
                run(["iptables", "-w", "-t", table, "-D", *rule[1:]], check=False)
        for action in ("-F", "-X"):
            for chain in chains:
                run(["iptables", "-w", "-t", table, action, chain], check=False)
    run(["iptables", "-w", "-P", "FORWARD", before["policy"]], check=False)
    preparations.sysctl_file("net.ipv4.ip_forward").write_text(before["ip_forward"])


def _adopt() -> None:
    """Put a daemon on record that an interrupted run of this state folder started.

    Its pid file names a process with our data directory, whose words go into our log: others' engines are not ours.
    """
    if record.read().runs:
        return
    try:
        pid = int(PID_FILE.read_text())
    except (OSError, ValueError):
        return
    on_our_data = record.start_ticks(pid) is not None and f"--data-root={engine.DATA_ROOT}" in _arguments(pid)
    if on_our_data and _writes_our_log(pid):
        _keep(pid)


def _writes_our_log(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/fd/1").readlink() == log_file().resolve()
    except OSError:
        return False


def _keep(pid: int) -> None:
    ticks = record.start_ticks(pid) or 0
    record.change(lambda known: replace(known.of_this_boot(), pid=pid, started=ticks))


def _orphaned_containers() -> bool:
    """Whether containers of our daemon still run; each has a shim, which is told where the daemon's containerd is."""
    return _is_told(f"{RUN_ROOT}/docker/containerd/containerd.sock")


def _is_told(argument: str) -> bool:
    """Whether a process of this machine has this argument."""
    return any(argument in _arguments(int(each.name)) for each in Path("/proc").iterdir() if each.name.isdigit())


def _arguments(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")[1:]
    except OSError:  # it has ended
        return []


def _log_tail() -> str:
    try:
        lines = log_file().read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join([f"The end of {log_file()}:", *(f"    {line}" for line in lines[-LAST_LINES:])])


def _lock_file() -> Path:
    return state_dir() / ".engine.lock"
