"""The options of a run: how they are added to pytest, and what was given. Every pytest of an environment adds them.

All have a prefix that no other plugin has. Those that had none before are still taken by their old names where no
other plugin has them (chaos.run.old_names).
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

PREFIX = "ordeal"
# The kinds of cluster, as chaos.clusters.base and chaos.run.profile have them: importing those takes seconds.
CLUSTERS = ("auto", "kind", "simulated", "existing")
PROFILES = ("full", "smoke")
SPEC_SETS = ("smoke", "conformance", "all")
WORKLOADS = ("redis", "iperf3", "mysql", "mysql57", "galera", "ceph")  # those of chaos.hosts.workload_recipes
MYSQL_CLOCK = "mysql-clock"
OTLP_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"  # OpenTelemetry's own name for the variable
_PYTEST_KIND = "pytest_kind.plugin"
_NO_NAME = "pytest-kind"  # that plugin's default for the name of a cluster


@dataclass(frozen=True, slots=True)
class Option:
    """An option without its prefix. `switch`: what it sets, where it takes no value; `sets`: another one's value.

    `bare`: its value where it is given without one. `was_general`: it is older than the prefix, or known without it.
    """

    name: str
    help: str
    metavar: str = "VALUE"
    choices: tuple[str, ...] = ()
    kind: type = str
    switch: bool | None = None
    sets: str = ""
    was_general: bool = True
    bare: str = ""

    @property
    def written(self) -> str:
        """As it is given in a command line."""
        return f"--{PREFIX}-{self.name}"

    @property
    def usage(self) -> str:
        """As it is shown, with what it takes."""
        taken = f"{{{','.join(self.choices)}}}" if self.choices else f"[{self.metavar}]" if self.bare else self.metavar
        return self.written if self.switch is not None else f"{self.written} {taken}"

    @property
    def old(self) -> str:
        """As it was given before."""
        return f"--{self.name}" if self.was_general else ""

    @property
    def dest(self) -> str:
        """Where pytest keeps its value."""
        return f"{PREFIX}_{(self.sets or self.name).replace('-', '_')}"

    def add(self, group: pytest.OptionGroup, name: str, help: str) -> None:  # noqa: A002  (argparse's word)
        """Add it to pytest's options under that name. None is its value where it was not given."""
        if self.switch is not None:
            action = "store_true" if self.switch else "store_false"
            group.addoption(name, dest=self.dest, action=action, default=None, help=help)
        elif self.choices:
            group.addoption(name, dest=self.dest, choices=self.choices, default=None, help=help)
        elif self.bare:
            how = {"nargs": "?", "const": self.bare, "metavar": self.metavar}
            group.addoption(name, dest=self.dest, default=None, help=help, **how)
        else:
            group.addoption(name, dest=self.dest, type=self.kind, metavar=self.metavar, default=None, help=help)


OPTIONS = (
    Option(
        "cluster",
        "auto (default): each incident on the cheapest cluster that can; kind; simulated; existing: that of "
        "--ordeal-kubeconfig, or else the one that kubectl would use",
        choices=CLUSTERS,
    ),
    Option("kubeconfig", "the cluster, with --ordeal-cluster existing", "FILE"),
    Option("context", "the kubeconfig's context, with --ordeal-cluster existing", "NAME"),
    Option(
        "kubernetes", "Kubernetes version of clusters that are made (default: the one that set-up builds)", "VERSION"
    ),
    Option("profile", "how long and how large: smoke (default) or full", choices=PROFILES),
    Option("controls", "run the controls too (default)", switch=True),
    Option("no-controls", "run only the hardened variants", switch=False, sets="controls"),
    Option(
        "tour",
        "replay a small choice: of each post-mortem one incident hardened, and in one of its controls",
        switch=True,
        was_general=False,
    ),
    Option(
        "setup",
        "get the machine ready first (kube-ordeal setup --yes); with -n beside replays that need little of it",
        switch=True,
        was_general=False,
    ),
    Option(
        "budget",
        "replay what tells most in that time, such as 15m, 1h30m or 900s: in pairs of a hardened replay and a control, "
        "one pair for each post-mortem first; the plan is printed, also with --collect-only",
        "DURATION",
        was_general=False,
    ),
    Option(
        "undo",
        "undo what earlier runs that were killed have left on existing clusters, without asking",
        switch=True,
        was_general=False,
    ),
    Option(
        "plan",
        "replay nothing: say which replays would run and where, what each does and needs, and which would not and why",
        switch=True,
    ),
    Option("plan-json", "the same as JSON, for programs", switch=True, was_general=False),
    Option("results", "where <run>/ goes (default: results)", "DIR"),
    Option(
        "history",
        "keep figures and verdicts of this run in the history of runs, and draw its trends on the page",
        switch=True,
        was_general=False,
    ),
    *(
        Option(
            f"{name}-image",
            f"image with the server of the workload {name} (default: built here, or published)",
            "IMAGE",
        )
        for name in WORKLOADS
    ),
    Option(
        f"{MYSQL_CLOCK}-image",
        "image with MySQL 8.0.11 or 8.0.12 and libfaketime: the control of mysql-clock (default: it is not run)",
        "IMAGE",
    ),
    Option(
        "storage-class",
        "StorageClass whose volumes rwo-volume-handover moves (default: a CSI driver of ours over a Ceph pool)",
        "NAME",
    ),
    Option(
        "upgrade-to",
        "how far in-place-upgrade goes; none: it is not replayed (default: with the node images that were built, one "
        "minor version further in the profile smoke, two in full)",
        "VERSION",
    ),
    Option(
        "upgrade-command",
        "the command that upgrades the cluster of --ordeal-cluster existing, as a shell would take its words, and "
        "without one: own-upgrade watches while it runs (default: own-upgrade is not replayed)",
        "COMMAND",
        was_general=False,
    ),
    Option(
        "upgrade-within",
        "how long that command may take, such as 90m (default: 2h)",
        "DURATION",
        was_general=False,
    ),
    Option(
        "watch-service",
        "a Service of your own that is watched beside ours in every replay, NAMESPACE/NAME[:PORT][/PATH]; several "
        "joined by commas; nothing of it is changed",
        "SERVICE",
        was_general=False,
    ),
    Option(
        "limits",
        "limits of your own in the place of those that promises are shipped with, as YAML: `outage-at-most: "
        "{limit_s: 5}`; history:p99, history:p95: what the history of runs gives",
        "FILE",
        was_general=False,
    ),
    Option(
        "conform",
        "run five of upstream's quick conformance specs around each incident: before, after, and during the harm what "
        "is documented to go on; joined by commas, or none (default: after, where e2e.test is built; none on the tour)",
        "ROUNDS",
    ),
    Option("busybox-image", "image of the workloads (default: what the nodes hold)", "IMAGE"),
    Option(
        "agent-image",
        "harm the nodes of an existing cluster through an agent of this image, that they can pull or have "
        "(`kube-ordeal image build --agent` builds it)",
        "IMAGE",
    ),
    Option(
        "power-command",
        "your own command that switches the nodes of an existing cluster: './power {off|on|state} {node}'; with state "
        "it says on or off",
        "COMMAND",
        was_general=False,
    ),
    Option(
        "power",
        "a driver that switches the nodes of an existing cluster: virsh, virsh:URI, virsh:FILE, ipmi:FILE, kind, or "
        "one that a package brings",
        "DRIVER",
        was_general=False,
    ),
    Option(
        "agent-privileged",
        "run the agents' pods privileged, where nodes take nothing less (SELinux, AppArmor)",
        switch=True,
        was_general=False,
    ),
    Option(
        "stop-command",
        "end all harm on an existing cluster once this command, which is asked each second, exits with another code "
        "than 0, takes longer than 20 s or can't be run",
        "COMMAND",
        was_general=False,
    ),
    Option("cluster-name", "how the names of clusters that are made begin (default: ordeal)", "NAME"),
    Option("keep-cluster", "keep clusters for the next run of the same shape", switch=True),
    Option("kind-image", "your own node image for kind clusters", "IMAGE"),
    Option("kind-bin", "your own kind", "FILE"),
    Option("kind-kubectl-bin", "your own kubectl", "FILE"),
    Option(
        "specs",
        "upstream's specs to run: smoke (25 of every area), conformance (all of the programme), all (default: smoke in "
        "the profile smoke, conformance in full)",
        choices=SPEC_SETS,
    ),
    Option("focus", "of all specs those whose full name this expression finds", "REGEX"),
    Option(
        "conformance-version",
        "run the specs of this Kubernetes version, whatever the cluster's is (default: the cluster's)",
        "VERSION",
    ),
    Option("e2e-test", "your own e2e.test (default: the one built here)", "FILE"),
    Option(
        "spec-timeout",
        "a spec that takes longer hangs (default: 300 in the profile smoke, 900 in full)",
        "SECONDS",
        kind=float,
    ),
    Option("spec-processes", "specs side by side, without -n (default: 2)", "N", kind=int),
    Option(
        "spec-retries",
        "run a failed spec so often again; passed then, it is flaky, which is not passed (default: 0)",
        "N",
        kind=int,
    ),
    Option("resume", "take over what specs became in this run, or in `latest`", "RUN"),
    Option(
        "otlp",
        "send a trace of each replay, once it is over, to a receiver of OTLP over HTTP (without a URL: the one of "
        f"{OTLP_ENDPOINT})",
        "URL",
        was_general=False,
        bare=OTLP_ENDPOINT,
    ),
    Option(
        "metrics",
        "tell Prometheus of the run at its end: a file for node_exporter (*.prom), or the URL of a Pushgateway",
        "FILE|URL",
        was_general=False,
    ),
)


@dataclass(frozen=True, slots=True)
class Options:
    """What a run was asked for. Empty strings and None: not given. `images`: the user's own, by the workload's name."""

    cluster: str
    kubeconfig: Path | None
    context: str
    kubernetes: str
    profile: str
    controls: bool
    tour: bool
    setup: bool
    budget: str
    undo: bool
    plan: bool
    plan_json: bool
    results: Path
    history: bool
    images: Mapping[str, str]
    storage_class: str
    upgrade_to: str
    upgrade_command: str
    upgrade_within: str
    watch_service: str
    limits: Path | None
    conform: str
    busybox_image: str
    agent_image: str
    power_command: str
    power: str
    agent_privileged: bool
    stop_command: str
    cluster_name: str
    keep_cluster: bool
    kind_image: str
    kind_bin: Path | None
    kubectl_bin: Path | None
    specs: str
    focus: str
    conformance_version: str
    e2e_test: Path | None
    spec_timeout_s: float | None
    spec_processes: int
    spec_retries: int
    resume: str
    otlp: str
    metrics: str


def add(parser: pytest.Parser) -> None:
    """Add all of them to pytest."""
    group = parser.getgroup("kube-ordeal")
    for each in OPTIONS:
        each.add(group, each.written, each.help)


def is_any_given(config: pytest.Config) -> bool:
    """Whether one of our options was given; pytest-kind's are not ours."""
    return any(getattr(config.option, each.dest, None) is not None for each in OPTIONS)


_NAMES = {  # what an option that takes a name is for: nothing is no name
    "kubeconfig": "name the cluster",
    "context": "name the cluster",
    "power-command": "name what switches the nodes",
    "power": "name what switches the nodes",
    "stop-command": "name a command",
    "otlp": "name the receiver",
    "metrics": "name the receiver",
}


def misnamed(config: pytest.Config, asked: Options) -> str:
    """What is wrong with how the cluster is named, or what switches it, ends the harm there or is told of it, as a
    sentence; "" where nothing is.

    An empty name is what a variable that nobody has set leaves: it must not mean the cluster that kubectl would use,
    nor that nothing ends the harm.
    """
    for name, what in _NAMES.items():
        if "" in _as_given(config, name).values():
            return f"--{PREFIX}-{name} was given nothing; {what}, or leave the option out"
    if getattr(config.option, "kubeconfig", None) == "":  # pytest-kind's
        return "--kubeconfig was given nothing; name the cluster, or leave the option out"
    named, switched = _as_given(config, "kubeconfig", "context"), _as_given(config, "power-command", "power")
    if named and asked.cluster != "existing":
        return f"{next(iter(named))} names a cluster, and without --ordeal-cluster existing none but our own are used"
    if switched and asked.cluster != "existing":
        return f"{next(iter(switched))} is for the nodes of an existing cluster: give --ordeal-cluster existing too"
    return ""


def _as_given(config: pytest.Config, *names: str) -> dict[str, object]:
    """The values of those that were given, by the options as they are written."""
    values = {
        f"--{PREFIX}-{name}": getattr(config.option, f"{PREFIX}_{name.replace('-', '_')}", None) for name in names
    }
    return {name: value for name, value in values.items() if value is not None}


def options_of(config: pytest.Config) -> Options:
    """What pytest was given, with the defaults of what it was not. pytest-kind's options count where ours are not."""
    return chosen(partial(_given, config))


def chosen(given: Callable[[str], object]) -> Options:
    """What was given, by an option's name without its prefix, and the defaults where that is None."""
    from chaos.hosts.bundles import DEFAULT_KUBERNETES  # noqa: PLC0415  (only in a run of ours)

    def text(name: str, default: str = "") -> str:
        value = given(name)
        return default if value is None else str(value)

    def path(name: str) -> Path | None:
        return Path(text(name)) if text(name) else None

    images = {name: text(f"{name}-image") for name in (*WORKLOADS, MYSQL_CLOCK)}
    controls, timeout_s = given("controls"), given("spec-timeout")
    return Options(
        cluster=text("cluster", "auto"),
        kubeconfig=path("kubeconfig"),
        context=text("context"),
        kubernetes=text("kubernetes", DEFAULT_KUBERNETES),
        profile=text("profile", "smoke"),
        controls=controls is None or bool(controls),
        tour=bool(given("tour")),
        setup=bool(given("setup")),
        budget=text("budget"),
        undo=bool(given("undo")),
        plan=bool(given("plan") or given("plan-json")),
        plan_json=bool(given("plan-json")),
        results=Path(text("results", "results")),
        history=bool(given("history")),
        images={name: image for name, image in images.items() if image},
        storage_class=text("storage-class"),
        upgrade_to=text("upgrade-to"),
        upgrade_command=text("upgrade-command"),
        upgrade_within=text("upgrade-within", "2h"),
        watch_service=text("watch-service"),
        limits=path("limits"),
        conform=text("conform"),
        busybox_image=text("busybox-image"),
        agent_image=text("agent-image"),
        power_command=text("power-command"),
        power=text("power"),
        agent_privileged=bool(given("agent-privileged")),
        stop_command=text("stop-command"),
        cluster_name=text("cluster-name"),
        keep_cluster=bool(given("keep-cluster")),
        kind_image=text("kind-image"),
        kind_bin=path("kind-bin"),
        kubectl_bin=path("kind-kubectl-bin"),
        specs=text("specs"),
        focus=text("focus"),
        conformance_version=text("conformance-version"),
        e2e_test=path("e2e-test"),
        spec_timeout_s=None if timeout_s is None else float(text("spec-timeout")),
        spec_processes=int(text("spec-processes", "2")),
        spec_retries=int(text("spec-retries", "0")),
        resume=text("resume"),
        otlp=text("otlp"),
        metrics=text("metrics"),
    )


def _given(config: pytest.Config, name: str) -> object:
    """An option's value; None where neither it nor pytest-kind's of the same name was given."""
    value: object = getattr(config.option, f"{PREFIX}_{name.replace('-', '_')}", None)
    plugin = sys.modules.get(_PYTEST_KIND)
    if value is None and name in OF_PYTEST_KIND and plugin is not None and config.pluginmanager.is_registered(plugin):
        value = getattr(config.option, name.replace("-", "_"), None)
        return None if value in {"", False, _NO_NAME} else value
    return value


# pytest-kind's options that mean the same.
OF_PYTEST_KIND = frozenset({"kubeconfig", "cluster-name", "keep-cluster", "kind-image", "kind-bin", "kind-kubectl-bin"})
