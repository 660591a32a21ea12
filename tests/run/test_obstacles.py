"""What keeps a machine from a replay is told before a cluster is made, and the lab skips the replay with it."""

import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from chaos.clusters.abilities import NodeExec, NodeNetwork, RunsContainers
from chaos.clusters.base import EXISTING, KIND, ClusterRef, Images
from chaos.clusters.existing.cluster import ExistingCluster
from chaos.clusters.kind.cluster import KindCluster
from chaos.clusters.shape import Shape
from chaos.conformance import program
from chaos.errors import OrdealError
from chaos.harm.link import BadLink
from chaos.harm.network import CutOff
from chaos.hosts import engine, parts, workload_images
from chaos.hosts.parts import FIREWALL, LOSS, NODE_NETWORKS, OWN_FILE_SYSTEMS, ROOT, THROTTLING
from chaos.hosts.places import suites_dir
from chaos.judge.catalogue import incidents
from chaos.record.journal import Journal
from chaos.run.hook import Nothing
from chaos.run.incident import PLAIN, STATEFUL, Replay
from chaos.run.lab import Lab
from chaos.run.obstacles import lacking_image, needed_for, obstacle, parts_of
from chaos.run.stage import LacksAbilityError
from chaos.run.suites import suites
from tests.hosts.published import DIGEST, publish
from tests.run.labs import a_lab

LINK = next(each for each in incidents() if each.id == "bad-link")


def a_replay(
    *needs: type, shape: str = PLAIN, host: tuple[parts.Part, ...] = (), images: tuple[str, ...] = ()
) -> Replay:
    return Replay(LINK, (KIND,), needs, (), "", shape, images=images, host=host)


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has all, and an engine of its own."""
    parts._lacks.cache_clear()
    monkeypatch.setattr(parts.Part, "lacks", lambda _: "")
    monkeypatch.setattr(engine, "chosen", lambda: engine.Engine(Path("docker"), "27", ours=False))
    monkeypatch.setattr(engine, "runs_here", lambda: True)
    monkeypatch.setattr(workload_images, "obstacle", lambda *_, **__: "")


def lacking(monkeypatch: pytest.MonkeyPatch, part: parts.Part, why: str) -> None:
    monkeypatch.setattr(parts.Part, "lacks", lambda self: why if self == part else "")


def test_parts_go_with_abilities_shape_and_faults() -> None:
    assert parts_of(a_replay(RunsContainers, NodeExec)) == ()
    assert parts_of(a_replay(NodeNetwork, host=(LOSS,))) == (ROOT, NODE_NETWORKS, LOSS)
    assert parts_of(a_replay(shape=STATEFUL)) == (ROOT, OWN_FILE_SYSTEMS)
    assert parts_of(a_replay(shape=STATEFUL), made=False) == ()


@pytest.mark.usefixtures("chosen")
def test_each_obstacle_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    replay = a_replay(NodeNetwork, host=(THROTTLING,), images=("ceph",))
    assert obstacle(replay, {}) == ""
    monkeypatch.setattr(workload_images, "obstacle", lambda name, given, **_: f"{name} {given} can't be built")
    assert obstacle(replay, {"ceph": "mine"}) == "bad-link runs ceph, and ceph mine can't be built"
    monkeypatch.setattr(engine, "runs_here", lambda: False)
    assert "the container engine runs on another" in obstacle(replay, {})
    lacking(monkeypatch, THROTTLING, "there is no tc in PATH")
    assert obstacle(replay, {}) == (
        "bad-link needs throttling a link on this machine, and there is no tc in PATH; load the kernel modules sch_htb "
        "and cls_u32"
    )
    assert "no tc" not in obstacle(a_replay(NodeNetwork, host=(LOSS,)), {})


def test_a_replay_of_specs_needs_their_program_of_the_clusters_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told = "e2e.test of Kubernetes 1.34.4 is not built; `kube-ordeal conformance build --kubernetes 1.34.4` makes it"
    assert program.lacking("1.34.4") == told
    monkeypatch.setattr(program, "find", lambda _: program.E2eProgram(tmp_path, "1.34.4", tmp_path))
    assert program.lacking("1.34.4") == ""


class Lacks(Nothing):
    """Specs that can't be run on clusters of any version."""

    def lacking(self, version: str) -> str:
        return f"there are none of {version}"


class Given:
    """A pool of clusters with a node image of the user's, or without."""

    kubernetes = "1.34.4"

    def __init__(self, *, image: bool) -> None:
        self.image_is_given = image

    def acquire(self, *_: object) -> None:
        raise OrdealError("a cluster is made")


@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize(
    ("specs", "image", "says"),
    [
        (True, False, "there are none of 1.34.4"),
        (False, False, "a cluster is made"),
        (True, True, "a cluster is made"),
    ],
)
def test_only_a_replay_of_specs_is_kept_away_and_not_where_the_image_is_the_users(
    tmp_path: Path, *, specs: bool, image: bool, says: str
) -> None:
    told = replace(a_replay(), specs=specs)
    lab = a_lab(tmp_path, told, on=KIND, pool=Given(image=image), around=Lacks)
    with pytest.raises(OrdealError, match=says):
        lab.cluster(Shape(timers=lab.timers))


def test_every_suite_that_runs_specs_says_so() -> None:
    files = {suite.test.partition("::")[0] for suite in suites()}
    running = {file for file in files if "lab.run_specs" in (suites_dir() / file).read_text()}
    assert running == {suite.test.partition("::")[0] for suite in suites() if suite.replay.specs} != set()


class NoPool:
    kubernetes, image_is_given = "1.34.4", False

    def acquire(self, *_: object) -> None:
        pytest.fail("a cluster was made")

    def make_room(self) -> None:
        pass


class BesideSetup:
    """A turn of a process whose set-up goes on: when it is over, what lacked is there."""

    alone = False

    def __init__(self, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
        self._monkeypatch, self._why = monkeypatch, why

    def prepared(self, _waiting: object) -> None:
        lacking(self._monkeypatch, ROOT, self._why)

    def take(self, *_: object, **__: object) -> None:
        pytest.fail("its turn was taken")


def test_a_replay_that_runs_no_image_asks_no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "chosen", lambda: pytest.fail("it was asked"))
    assert lacking_image(a_replay(), {}) == ""


@contextmanager
def lab_of(
    folder: Path,
    on: str,
    pool: object,
    declared: Replay,
    turn: object = None,
    needs: tuple[type, ...] = (NodeNetwork,),
    images: Mapping[str, str] | None = None,
) -> Iterator[Lab]:
    """The lab of a replay that needs nodes' networks, or what else is said, with such a pool."""
    with Journal(folder / "journal.jsonl") as journal:
        yield a_lab(folder, replace(declared, needs=needs), on=on, pool=pool, journal=journal, turn=turn, images=images)


class Theirs:
    """A pool with a kind cluster of the user's own, on this machine."""

    def acquire(self, *_: object) -> KindCluster:
        return KindCluster(ClusterRef(EXISTING, "kind", "kubeconfig"), Shape(), Images("busybox"), tools=None)


@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("lacks", ["root", "image"])
def test_on_a_kind_cluster_of_the_users_own_what_this_machine_lacks_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    if lacks == "root":
        lacking(monkeypatch, ROOT, "this user is not root")
    else:
        monkeypatch.setattr(workload_images, "obstacle", lambda *_, **__: "AppArmor has a profile for mysqld")
    with lab_of(tmp_path, EXISTING, Theirs(), a_replay(NodeNetwork, images=("mysql",))) as lab:
        why = "this user is not root" if lacks == "root" else "runs mysql, and AppArmor has"
        with pytest.raises(LacksAbilityError, match=why):
            lab.cluster(Shape(timers=lab.timers))


class Far:
    """A pool with a cluster of the user's own, whose nodes pull images themselves."""

    def acquire(self, *_: object) -> ExistingCluster:
        return ExistingCluster(ClusterRef(EXISTING, "far", "kubeconfig"), Shape(), Images("busybox"))


@pytest.mark.parametrize("named", [False, True])
def test_nodes_that_pull_themselves_are_told_no_tag_that_the_user_did_not_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    known = publish(tmp_path, monkeypatch)
    monkeypatch.setattr(ExistingCluster, "nodes", lambda _: ())
    images = {"redis": "mine/redis:1"} if named else {}
    with lab_of(tmp_path, EXISTING, Far(), a_replay(images=("redis", "ceph")), needs=(), images=images) as lab:
        if named:
            lab.cluster(Shape(timers=lab.timers))
            assert lab.image("redis") == "mine/redis:1"
            return
        why = r"bad-link runs redis, and redis:7\.2 is not taken, .*: name an image with --ordeal-redis-image$"
        with pytest.raises(LacksAbilityError, match=why):
            lab.cluster(Shape(timers=lab.timers))
        known.write_text(f"redis:7.2 {DIGEST}\n")
        lab.cluster(Shape(timers=lab.timers))
        assert lab.image("redis") == f"redis@{DIGEST}"


@pytest.mark.usefixtures("chosen")
@pytest.mark.parametrize("beside_setup", [False, True])
def test_a_replay_is_skipped_before_a_cluster_is_made_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, beside_setup: bool
) -> None:
    why = "this user is not root"
    lacking(monkeypatch, ROOT, "set-up is not over" if beside_setup else why)
    turn = BesideSetup(monkeypatch, why) if beside_setup else None
    with lab_of(tmp_path, KIND, NoPool(), a_replay(NodeNetwork), turn) as lab:
        why = r"needs root on this machine, and this user is not root; run it as"
        with pytest.raises(LacksAbilityError, match=why):
            lab.cluster(Shape())


USES = {CutOff: {FIREWALL}, BadLink: {FIREWALL, LOSS, THROTTLING}}


def test_a_suite_says_what_its_faults_use_of_the_machine() -> None:
    """A fault that tries a part before it harms (harm.target.check_parts) is one of USES, and its suites name it."""
    tried = {
        name
        for module in list(sys.modules.values())
        if isinstance(module, ModuleType) and module.__name__.startswith(("chaos.harm.", "chaos.subjects."))
        for name, each in vars(module).items()
        if inspect.isclass(each) and hasattr(each, "plan") and "check_parts(" in inspect.getsource(each)
    }
    assert tried == {each.__name__ for each in USES}
    marked: dict[str, set[parts.Part]] = {}
    for suite in suites():
        file = suite.test.partition("::")[0]
        marked[file] = marked.get(file, set()) | set(suite.replay.host)
    for file, named in marked.items():
        module = sys.modules["_kube_ordeal_suites." + file.removesuffix(".py").replace("/", ".")]
        used = {part for fault, of in USES.items() if fault in vars(module).values() for part in of}
        assert named == used, file


def test_the_doctor_knows_what_each_part_is_for() -> None:
    replays = [suite.replay for suite in suites()]
    assert needed_for(THROTTLING, replays) == ("bad-link",)
    assert needed_for(FIREWALL, replays) == ("bad-link", "kubelet-restart", "mass-termination")
    assert "kmem-leak" not in needed_for(ROOT, replays)
    assert "imagefs-full" in needed_for(OWN_FILE_SYSTEMS, replays)
