"""Whether an image can be had is asked of the engine, and why not is told apart. The docker client is a script."""

from pathlib import Path

import pytest

from chaos.errors import OrdealError
from chaos.hosts import registry
from chaos.hosts.engine import Engine
from chaos.hosts.registry import Offer
from tests.hosts.fake_docker import FakeDocker
from tests.hosts.published import DIGEST, publish

IMAGE = "kindest/node:v1.34.4"
TOO_MANY = "toomanyrequests: You have reached your pull rate limit."


def an_engine(folder: Path, **on: str) -> tuple[Engine, FakeDocker]:
    made = FakeDocker(folder / "bin").install(**on)
    return Engine(made.client, "27", ours=False), made


def fails(words: str) -> str:
    return f"echo 'Error response from daemon: {words}' >&2; exit 1"


def test_a_pull_that_has_begun_is_broken_off(tmp_path: Path) -> None:
    begun = (
        f"echo $$ >{tmp_path}/pid; echo 'v1.34.4: Pulling from kindest/node'; echo x: Pulling fs layer; exec sleep 600"
    )
    engine, made = an_engine(tmp_path, pull=begun, manifest="exit 1")
    assert registry.ask(engine, IMAGE) == Offer(IMAGE, there=True)
    assert made.calls == [f"pull {IMAGE}"]  # the client's own view of registries is not asked
    assert not Path(f"/proc/{(tmp_path / 'pid').read_text().strip()}").exists()


def test_one_that_takes_longer_than_a_moment_is_waited_for(tmp_path: Path) -> None:
    engine, _ = an_engine(tmp_path, pull="sleep 0.5")
    assert registry.ask(engine, IMAGE).there


@pytest.mark.parametrize(
    ("words", "why", "reached"),
    [
        (TOO_MANY, "limit of pulls is used up", False),
        ("manifest for kindest/node:v1.34.4 not found: manifest unknown: manifest unknown", "has no such image", True),
        (
            "failed to resolve reference docker.io/kindest/node:v9: docker.io/kindest/node:v9: not found",
            "no such",
            True,
        ),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", "this machine's architecture", True),
        ("pull access denied for x, repository does not exist or may require docker login", "wants a login", True),
        ("Get https://registry-1.docker.io/v2/: unauthorized: incorrect username", "wants a login", True),
        ("Get https://registry-1.docker.io/v2/: dial tcp 192.0.2.1:443: i/o timeout", "did not answer in time", False),
        ("Get https://r/v2/: net/http: request canceled (Client.Timeout exceeded)", "did not answer in time", False),
        ("Get https://r/v2/: net/http: TLS handshake timeout", "did not answer in time", False),
        ("Get https://r/v2/: tls: failed to verify certificate: x509: unknown authority", "certificate", False),
        ("Get https://r/v2/: dial tcp: lookup r on 192.0.2.1:53: no such host", "resolve the registry", False),
        ("Get https://r/v2/: dial tcp 192.0.2.1:443: connect: connection refused", "can't reach", False),
        ("write /var/lib/docker/tmp/x: no space left on device", "disk is full", False),
        ("something else", "the engine says: Error response from daemon: something else", False),
    ],
)
def test_reasons_are_told_apart(tmp_path: Path, words: str, why: str, reached: bool) -> None:
    engine, _ = an_engine(tmp_path, pull=fails(words))
    offer = registry.ask(engine, IMAGE)
    assert not offer.there
    assert why in offer.why
    assert offer.reached is reached


def test_no_answer_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "ASK_TIMEOUT_S", 0.3)
    engine, _ = an_engine(tmp_path, pull="sleep 600")
    why = "the registry did not answer within 0.3 s"
    assert registry.ask(engine, IMAGE) == Offer(IMAGE, there=False, why=why, reached=False)


def test_an_image_is_pulled_only_where_it_lacks(tmp_path: Path) -> None:
    there = f"test -e {tmp_path}/there"
    engine, made = an_engine(tmp_path, image=there, pull=f"touch {tmp_path}/there")
    registry.bring(engine, IMAGE)
    registry.bring(engine, IMAGE)
    assert [call for call in made.calls if call.startswith("pull")] == [f"pull --quiet {IMAGE}"]


BY_DIGEST = f"mirror:5000/team/redis:7@{DIGEST}"


def test_an_image_by_digest_has_a_tag_for_nodes_that_holds_it(tmp_path: Path) -> None:
    """An archive of images names them by tags: pods could not name what came without one."""
    engine, made = an_engine(tmp_path)
    name = registry.tagged(engine, BY_DIGEST)
    assert name == f"localhost/kube-ordeal-published/mirror-5000/team/redis:sha256-{'ab' * 32}"
    assert made.calls == [f"tag {BY_DIGEST} {name}"]
    assert [registry.tagged(engine, each) for each in (IMAGE, name, "redis")] == [IMAGE, name, "redis"]
    assert len(made.calls) == 1


def test_what_was_pulled_is_told_by_the_engine(tmp_path: Path) -> None:
    engine, _ = an_engine(tmp_path, image_inspect="""echo '["redis@sha256:ab","r/redis@sha256:cd"] sha256:ef'""")
    assert registry.told(engine, IMAGE) == "redis@sha256:ab, r/redis@sha256:cd"
    for none in ("[]", "null"):
        engine, _ = an_engine(tmp_path, image_inspect=f"echo '{none} sha256:ef'")
        assert registry.told(engine, IMAGE) == "sha256:ef"  # built or loaded here
    engine, _ = an_engine(tmp_path, image_inspect="exit 1")
    assert registry.told(engine, IMAGE) == ""


def test_a_node_image_without_a_busybox_for_its_pods_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = publish(tmp_path, monkeypatch, IMAGE)
    assert registry.published_node("1.34.4") == ""
    with pytest.raises(OrdealError, match=r"^busybox:latest is not taken, .*name an image .* --ordeal-busybox-image$"):
        registry.busybox()
    known.write_text(f"{IMAGE} {DIGEST}\nbusybox:latest {DIGEST}\n")
    assert registry.published_node("1.34.4") == f"kindest/node@{DIGEST}"
    assert registry.published_node("1.34.3") == ""
    assert registry.busybox() == f"busybox@{DIGEST}"


def test_what_cannot_be_pulled_is_a_sentence_with_what_to_do(tmp_path: Path) -> None:
    engine, _ = an_engine(tmp_path, image="exit 1", pull=fails(TOO_MANY))
    with pytest.raises(OrdealError) as caught:
        registry.bring(engine, IMAGE, otherwise="name another with --kind-image")
    assert str(caught.value) == (
        "the image kindest/node:v1.34.4 is not on this machine and can't be pulled (the registry's limit of pulls is "
        "used up: log in, or wait); load it into the engine with `docker load`, or name another with --kind-image."
    )
