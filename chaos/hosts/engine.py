"""The container engine: the one that answers, or Debian's, installed and started by us, and what it needs of the host.

What is changed on the machine is written to `state_dir()/engine.json` before it is changed, so that `stop` takes back
exactly that, after a crash too.
"""

import ipaddress
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from chaos.errors import OrdealError
from chaos.hosts import oci_runtime
from chaos.hosts.binaries import Report, silent
from chaos.hosts.command import LAST_LINES, CommandError, Output, run
from chaos.hosts.lock import locked
from chaos.hosts.places import state_dir
from chaos.waiting import WaitedInVainError, eventually

NETWORK = "kind"  # the name that kind gives its network, and takes where it is there already
POD_RANGE = "10.244.0.0/16"  # kind's default networking.podSubnet
SERVICE_RANGE = "10.96.0.0/16"  # kind's default networking.serviceSubnet
NODE_RANGES = ("172.30.0.0/16", "172.29.0.0/16", "172.28.0.0/16", "10.230.0.0/16", "192.168.224.0/20")
NODE_RANGE_6 = "fd6b:6f72:6465::/64"
WORST_METRIC = "4294967295"
# Each containerd shim, kubelet and systemd takes inotify instances of the one user, root; the kernel's 128 are gone
# with the second node.
SYSCTLS = {"fs.inotify.max_user_instances": 8192, "fs.inotify.max_user_watches": 524288}
# A data directory of our own: what a user's Docker keeps in /var/lib/docker is neither read nor written.
DATA_ROOT = Path("/var/lib/kube-ordeal/docker")
RUN_ROOT = Path("/run/kube-ordeal")
PID_FILE = RUN_ROOT / "docker.pid"
MOUNTS = Path("/proc/self/mountinfo")
START_TIMEOUT_S = 90.0
STOP_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 5.0
BUILD_TIMEOUT_S = 900.0


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine that answered: the client program, the server's version, and whether we started it."""

    client: Path
    version: str
    ours: bool

    def docker(
        self,
        *arguments: str,
        timeout_s: float = 120.0,
        check: bool = True,
        stdin: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Output:
        """Run the client. Raises CommandError as `run` does."""
        return run([str(self.client), *arguments], timeout_s=timeout_s, check=check, stdin=stdin, env=env)

    def build(self, tag: str, recipe: Path, context: Path, *, timeout_s: float = BUILD_TIMEOUT_S, **given: str) -> None:
        """Build an image from a Containerfile with these build arguments, without a network. Raises CommandError."""
        # The client without its buildx plug-in refuses to build unless told to use the engine's own builder.
        plain = self.docker("buildx", "version", check=False).code != 0
        arguments = [f"--build-arg={key}={value}" for key, value in given.items()]
        self.docker(
            "build", "--quiet", "--network=none", "--tag", tag, "--file", str(recipe), *arguments, str(context),
            timeout_s=timeout_s, env={"DOCKER_BUILDKIT": "0"} if plain else None,
        )  # fmt: skip

    def environment(self) -> dict[str, str]:
        """What a program that calls `docker` by name (kind does) needs to find this client first."""
        return {"PATH": f"{self.client.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


@dataclass(frozen=True, slots=True)
class Started:
    """What we started and changed, as it is kept on disk. `started` is in clock ticks since boot (proc_pid_stat(5))."""

    pid: int = 0
    started: int = 0
    boot: str = ""
    packages: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    network: str = ""
    forwarding: Mapping[str, str] = field(default_factory=dict)  # FORWARD policy and ip_forward before the engine


def runs_on_our_data() -> bool:
    """Whether an engine runs on DATA_ROOT, whoever started it: also one whose state is kept elsewhere."""
    return _is_told(f"--data-root={DATA_ROOT}")


def mounts_below(folder: Path) -> tuple[str, ...]:
    """What is mounted at the folder or below it, as the kernel says (/proc/self/mountinfo, field 5)."""
    points = [line.split()[4] for line in MOUNTS.read_text().splitlines()]
    return tuple(point for point in points if Path(point).is_relative_to(folder.resolve()))


def find() -> Engine | None:
    """The engine that answers now, asked of each docker client there is; None where none does within seconds."""
    ours = _alive(started())
    for client in _clients():
        try:
            said = run([str(client), "version", "--format", "{{.Server.Version}}"], timeout_s=ANSWER_TIMEOUT_S)
        except CommandError:
            continue
        if version := said.out.strip():
            return Engine(client, version, ours)
    return None


def require() -> Engine:
    """The engine that answers. Raises OrdealError where none does."""
    engine = find()
    if engine is None:
        raise OrdealError("no container engine answers; start Docker, or run `kube-ordeal setup`.")
    return engine


def install_and_start(report: Report = silent) -> Engine:
    """The engine that answers; where none does, Debian's is installed and started, detached from this process.

    Raises OrdealError where that takes root or Debian's packages and they are not there, or the engine does not start.
    """
    with locked(_lock_file(), lambda: report("another run is starting the container engine, waiting")):
        _adopt()
        engine = find()
        if engine is not None:
            return engine
        _need_root("starting a container engine")
        _install(report)
        engine = find()  # the package's own service may have started it
        if engine is not None:
            return engine
        _start(report)
        engine = find()
        if engine is None:
            raise OrdealError(f"the container engine started, and no docker client can talk to it; see {log_file()}.")
        report(f"container engine {engine.version} answers")
        return engine


def prepare_host(engine: Engine, report: Report = silent) -> None:
    """Limits, the nodes' network and the routes that keep cluster traffic on this machine; only what is missing."""
    with locked(_lock_file()):
        _raise_limits(report)
        ranges = _ensure_network(engine, report)
        if engine.ours:  # a user's own Docker may be on another machine, and the routes are the user's
            _contain((POD_RANGE, SERVICE_RANGE, *ranges), report)


def missing_preparations(engine: Engine) -> tuple[str, ...]:
    """What `prepare_host` would do, in words; empty where nothing is missing."""
    missing = [f"{name} is {_sysctl(name)}" for name in _low_sysctls()]
    ranges = node_ranges(engine)
    if not ranges:
        missing.append(f"there is no network {NETWORK}")
    if engine.ours:
        there = _unreachable()
        missing += [f"no route contains {each}" for each in (POD_RANGE, SERVICE_RANGE, *ranges) if each not in there]
    return tuple(missing)


def node_ranges(engine: Engine) -> tuple[str, ...]:
    """The subnets of the nodes' network, IPv4 first; empty where the network is not there."""
    said = engine.docker("network", "inspect", NETWORK, "--format", "{{json .IPAM.Config}}", check=False)
    if said.code != 0:
        return ()
    subnets = [str(entry["Subnet"]) for entry in json.loads(said.out) or () if entry.get("Subnet")]
    return tuple(sorted(subnets, key=lambda subnet: ":" in subnet))


def registry_answers(engine: Engine, image: str = "kindest/node:v1.34.0", *, timeout_s: float = 10.0) -> bool:
    """Whether the registry says that it has `image`, within `timeout_s`. Nothing is downloaded."""
    try:
        return engine.docker("manifest", "inspect", image, timeout_s=timeout_s, check=False).code == 0
    except CommandError:
        return False


def stop(report: Report = silent) -> None:
    """Take back what `install_and_start` and `prepare_host` did: engine, its mount, network, routes, limits.

    Installed packages stay. A second call finds nothing to do. Raises OrdealError where the engine does not end.
    """
    with locked(_lock_file()):
        _adopt()
        if not _alive(started()) and _orphaned_containers():
            report("the container engine was killed and its containers still run: starting it, to stop them")
            _start(report)
        state = started()
        engine = find()
        if state.network and engine is not None:
            report(f"removing the network {state.network}")
            gone = engine.docker("network", "rm", state.network, check=False)
            if gone.code != 0 and "not found" not in gone.err.lower() and "no such" not in gone.err.lower():
                report(f"the network {state.network} stays: {gone.err.strip()}")
        bridges = _bridges(engine) if engine is not None and engine.ours else ("docker0",)
        if _alive(state):
            report(f"stopping the container engine, process {state.pid}")
            _end(state)
        if state.forwarding:
            report("removing the engine's bridges and firewall chains")
            _remove_leftovers(state.forwarding, bridges)
        if mounted_on_itself():
            report(f"unmounting {DATA_ROOT}, which the container engine mounted on itself")
            _unmount(report)
        for route in state.routes:
            report(f"removing the route: unreachable {route}")
            run(["ip", "route", "del", "unreachable", route, "metric", WORST_METRIC], check=False)
        for name, value in state.sysctls.items():
            report(f"setting {name} back to {value}")
            _sysctl_file(name).write_text(value)
        if state.packages:
            report(f"these packages stay installed: {', '.join(state.packages)}")
        _state_file().unlink(missing_ok=True)


def started() -> Started:
    """What is on record as started and changed by us; an empty record where nothing is."""
    try:
        text = _state_file().read_text()
    except FileNotFoundError:
        return Started()
    try:
        kept = json.loads(text)
        return Started(**{**kept, "packages": tuple(kept["packages"]), "routes": tuple(kept["routes"])})
    except (ValueError, KeyError, TypeError) as error:
        raise OrdealError(f"{_state_file()} is damaged ({error}); look what it says, then remove it.") from error


def missing_capabilities() -> tuple[str, ...]:
    """The capabilities that this machine's bounding set lacks, as CAP_NAME; a full root has none missing."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    return oci_runtime.lacking(Path("/proc/self/status").read_text(), last)


def log_file() -> Path:
    """Where the engine that we start writes its log."""
    return state_dir() / "dockerd.log"


def _clients() -> list[Path]:
    # A newer client may refuse an older server, so Debian's own is asked after the first in PATH.
    first = shutil.which("docker")
    found = [Path(first)] if first else []
    return list(dict.fromkeys([*found, *(each for each in [Path("/usr/bin/docker")] if os.access(each, os.X_OK))]))


def _need_root(what: str) -> None:
    if os.geteuid() != 0:
        raise OrdealError(f"{what} needs root; run the same command with sudo, or start Docker yourself.")


def _install(report: Report) -> None:
    needed = {  # program: Debian's package
        "dockerd": "docker.io",
        "containerd": "containerd",
        "runc": "runc",
        "iptables": "iptables",
        "ip": "iproute2",
    }
    missing = tuple(package for program, package in needed.items() if shutil.which(program) is None)
    if not missing:
        return
    state = started()
    _save(replace(state, packages=tuple(dict.fromkeys((*state.packages, *missing)))))
    install_packages(missing, report)


def install_packages(packages: tuple[str, ...], report: Report = silent) -> None:
    """Install Debian packages. Raises OrdealError where there is no apt, CommandError where it fails."""
    _need_root(f"installing {', '.join(packages)}")
    if shutil.which("apt-get") is None:
        raise OrdealError(f"{', '.join(packages)} must be installed and this is not Debian; install Docker yourself.")
    report(f"installing {', '.join(packages)}")
    wait = ["-o", "DPkg::Lock::Timeout=300"]
    run(["apt-get", *wait, "update", "-q"], timeout_s=600)
    run(
        ["apt-get", *wait, "install", "-y", "-q", "--no-install-recommends", *packages],
        timeout_s=1200,
        env={"DEBIAN_FRONTEND": "noninteractive"},
    )


def _start(report: Report) -> None:
    """Start dockerd in a session of its own and wait until it answers."""
    daemon = shutil.which("dockerd")
    if daemon is None:
        raise OrdealError(
            "dockerd is not installed and the package docker.io did not bring it; install Docker yourself."
        )
    DATA_ROOT.mkdir(parents=True, exist_ok=True)
    RUN_ROOT.mkdir(parents=True, exist_ok=True)
    command = [daemon, f"--data-root={DATA_ROOT}", f"--exec-root={RUN_ROOT}/docker", f"--pidfile={PID_FILE}"]
    lacking = missing_capabilities()
    if lacking:
        report(f"this machine lacks {', '.join(lacking)}: containers go through a runtime that leaves them out")
        command += [f"--add-runtime=ordeal={_write_runtime()}", "--default-runtime=ordeal"]
    if _alive(state := started()):
        raise OrdealError(
            f"the container engine that was started here, process {state.pid}, does not answer; see {log_file()}, "
            f"or end it with `kube-ordeal teardown`."
        )
    PID_FILE.unlink(missing_ok=True)
    forwarding = _forwarding()
    if forwarding and not started().forwarding:
        _save(replace(started(), forwarding=forwarding))
    report("starting the container engine")
    with log_file().open("ab") as log:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    # A crash between these two lines leaves a daemon that is not on record: _adopt finds it by its pid file.
    _save(replace(started(), pid=child.pid, started=_start_ticks(child.pid) or 0, boot=_boot()))

    def answers() -> bool:
        if child.poll() is not None:
            return True
        return find() is not None

    try:
        eventually(answers, within_s=START_TIMEOUT_S, what="the container engine to answer")
    except WaitedInVainError as error:
        raise OrdealError(
            f"the container engine did not answer within {START_TIMEOUT_S:g} s.\n{_log_tail()}"
        ) from error
    except BaseException:
        _end(started())  # Ctrl-C while it starts: nothing half-started stays
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
    path = state_dir() / "oci-runtime"
    partial = path.with_suffix(".partial")
    partial.write_text(script)
    partial.chmod(0o755)
    partial.rename(path)
    return path


def _end(state: Started) -> None:
    """End the daemon by its pid: SIGTERM, which also stops its containers, then SIGKILL."""
    if not _alive(state):
        return
    os.kill(state.pid, signal.SIGTERM)
    try:
        eventually(lambda: not _alive(state), within_s=STOP_TIMEOUT_S, what="the container engine to end")
    except WaitedInVainError:
        if _alive(state):
            os.kill(state.pid, signal.SIGKILL)
        eventually(lambda: not _alive(state), within_s=10, what="the container engine to end after SIGKILL")


def _forwarding() -> dict[str, str]:
    """How this machine forwards packets before an engine runs; empty where one has been here and has changed it."""
    rules = run(["iptables", "-S"], check=False).out.splitlines()
    policies = [rule.split()[2] for rule in rules if rule.startswith("-P FORWARD ")]
    if not policies or "-N DOCKER" in rules:
        return {}
    return {"policy": policies[0], "ip_forward": _sysctl("net.ipv4.ip_forward")}


def mounted_on_itself() -> bool:
    """Whether the engine's data root is still a mount of itself, and no engine runs on it.

    dockerd mounts its data root on itself to share what it mounts below, and unmounts it when it ends. After it was
    killed and started again it does not: it takes the mount for somebody else's (setupDaemonRootPropagation in moby's
    daemon/daemon_linux.go). A file system of the user's own at that place is no mount of itself.
    """
    return _is_bound_on_itself(MOUNTS.read_text(), DATA_ROOT) and not runs_on_our_data()


def _is_bound_on_itself(mountinfo: str, path: Path) -> bool:
    """Whether the last mount at `path` shows what is there without it; `mountinfo` as in proc_pid_mountinfo(5)."""
    mounts = {fields[0]: fields[1:5] for fields in map(str.split, mountinfo.splitlines())}
    there = [(parent, device, root) for parent, device, root, point in mounts.values() if point == str(path)]
    if not there or there[-1][0] not in mounts:
        return False
    parent, device, root = there[-1]
    _, device_around, root_around, around = mounts[parent]
    return device == device_around and Path(root) == Path(root_around) / path.relative_to(around)


def _unmount(report: Report) -> None:
    while mounted_on_itself():
        done = run(["umount", "--recursive", str(DATA_ROOT)], check=False)
        if done.code != 0:
            report(f"{DATA_ROOT} stays mounted: {done.err.strip()}")
            return


def _bridges(engine: Engine) -> tuple[str, ...]:
    """The host's interfaces of the engine's networks; it makes them again when it starts."""
    networks = engine.docker("network", "ls", "--filter", "driver=bridge", "--format", "{{.ID}} {{.Name}}").out
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
    _sysctl_file("net.ipv4.ip_forward").write_text(before["ip_forward"])


def _raise_limits(report: Report) -> None:
    low = _low_sysctls()
    if low:
        _need_root(f"raising {', '.join(low)}")
    for name, value in low.items():
        state = started()
        _save(replace(state, sysctls={name: _sysctl(name), **state.sysctls}))
        report(f"raising {name} from {_sysctl(name)} to {value}")
        _sysctl_file(name).write_text(str(value))


def _low_sysctls() -> dict[str, int]:
    return {name: value for name, value in SYSCTLS.items() if int(_sysctl(name)) < value}


def _sysctl(name: str) -> str:
    return _sysctl_file(name).read_text().strip()


def _sysctl_file(name: str) -> Path:
    return Path("/proc/sys", *name.split("."))


def _ensure_network(engine: Engine, report: Report) -> tuple[str, ...]:
    """The subnets of the nodes' network. Made here: kind asks for no subnet, and then no IP can be chosen."""
    ranges = node_ranges(engine)
    if ranges:
        return ranges
    taken = _routed()
    free = [each for each in NODE_RANGES if not any(ipaddress.ip_network(each).overlaps(other) for other in taken)]
    if not free:
        raise OrdealError(f"every range for the nodes' network is in use here: {', '.join(NODE_RANGES)}; free one.")
    _save(replace(started(), network=NETWORK))
    options = ["--driver", "bridge", "--opt", "com.docker.network.bridge.enable_ip_masquerade=true"]
    last: CommandError | None = None
    for range_4 in free:
        for families in (["--ipv6", "--subnet", NODE_RANGE_6], []):  # without IPv6 where the machine has none
            try:
                engine.docker("network", "create", *options, "--subnet", range_4, *families, NETWORK)
            except CommandError as error:
                last = error
                continue
            report(f"made the network {NETWORK}, {range_4}")
            return node_ranges(engine)
    raise OrdealError(f"the nodes' network {NETWORK} could not be made.\n{last}") from last


def _contain(ranges: tuple[str, ...], report: Report) -> None:
    """Give the host an unreachable route of the worst metric for each range, so that nothing of it leaves the machine.

    While a bridge is there its own route wins; when it is gone, packets end here and not at the default gateway.
    """
    there = _unreachable()
    routed = [network for network in _routed() if network.prefixlen > 0]
    for each in ranges:
        wide = ipaddress.ip_network(each)
        if each in there:
            continue
        if others := [str(o) for o in routed if o.version == wide.version and o.overlaps(wide) and o != wide]:
            report(f"{each} overlaps with this machine's own route {others[0]}: left as it is")
            continue
        state = started()
        _save(replace(state, routes=tuple(dict.fromkeys((*state.routes, each)))))
        run(["ip", "route", "add", "unreachable", each, "metric", WORST_METRIC])
        report(f"{each} is kept on this machine by an unreachable route")


def _routed() -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """What this machine has routes to, apart from the default and unreachable ones."""
    found: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
    for family in ("-4", "-6"):
        said = run(["ip", family, "-json", "route"], check=False)
        for route in json.loads(said.out or "[]") if said.code == 0 else ():
            if route.get("type", "unicast") == "unicast" and route["dst"] != "default":
                found.append(ipaddress.ip_network(route["dst"], strict=False))  # noqa: PERF401
    return found


def _unreachable() -> set[str]:
    found: set[str] = set()
    for family in ("-4", "-6"):
        said = run(["ip", family, "-json", "route", "show", "type", "unreachable"], check=False)
        found |= {str(route["dst"]) for route in json.loads(said.out or "[]")} if said.code == 0 else set()
    return found


def _state_file() -> Path:
    return state_dir() / "engine.json"


def _lock_file() -> Path:
    return state_dir() / ".engine.lock"


def _save(state: Started) -> None:
    partial = _state_file().with_suffix(".partial")
    with partial.open("w") as write:
        json.dump(asdict(state), write, indent=1)
        write.flush()
        os.fsync(write.fileno())
    partial.rename(_state_file())


def _alive(state: Started) -> bool:
    """Whether the process on record runs: the same pid, started at the same tick of the same boot, not a zombie."""
    return state.pid > 0 and state.boot == _boot() and _start_ticks(state.pid) == state.started


def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _start_ticks(pid: int) -> int | None:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in "ZX" else int(after_name[19])


def _adopt() -> None:
    """Put a daemon on record that an interrupted run started: its pid file names a process with our data directory."""
    if _alive(started()):
        return
    try:
        pid = int(PID_FILE.read_text())
    except (OSError, ValueError):
        return
    ticks = _start_ticks(pid)
    if ticks is not None and f"--data-root={DATA_ROOT}" in _arguments(pid):
        _save(replace(started(), pid=pid, started=ticks, boot=_boot()))


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
