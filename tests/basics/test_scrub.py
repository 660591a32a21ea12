"""Secrets go from a text, whatever form they have; what is none stays, and doing it again changes nothing."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.basics import scrub as module
from chaos.basics.scrub import REMOVED, scrub, scrub_file, scrubbed
from tests.canaries import CANARY, SAYINGS


@pytest.mark.parametrize("said", SAYINGS)
def test_a_secret_goes_and_what_is_around_it_stays(said: str) -> None:
    kept = scrub(f"before it; {said}\nafter it")
    assert CANARY not in kept
    assert kept.startswith("before it; ")
    assert kept.endswith("\nafter it")
    assert REMOVED in kept
    assert scrub(kept) == kept


@pytest.mark.parametrize(
    "form",
    [
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl",  # a service account's token
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdef0123456789abcdef0123",
        "glpat-0123456789abcdefghij",
        "xoxb-0123456789-abcdef",
        "abcdef.0123456789abcdef",  # kubeadm's
        base64.b64encode(b"-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA\n-----END EC PRIVATE KEY-----").decode(),
        base64.b64encode(b"apiVersion: v1\nkind: Config\nusers: [{name: a}]").decode(),
    ],
)
def test_what_has_the_form_of_a_secret_needs_no_name(form: str) -> None:
    assert scrub(f"it said {form}, and ended") == f"it said {REMOVED}, and ended"


@pytest.mark.parametrize(
    "said",
    [
        "pods default/web-1 was evicted after 12.5 s (node.kubernetes.io/unreachable:NoExecute)",
        "docker-pullable://localhost:5000/coredns@sha256:abcd was pulled from https://registry.k8s.io/v2/",
        "suites/test_tokens.py::TestToken::test_a[kind-hardened]",
        "--service-account-key-file=/etc/kubernetes/sa.pub --tls-private-key-file=/a.key --client-cert-auth=true",
        '{"machine id":"0123456789abcdef0123456789abcdef","provider id":"kind://docker/a/b"}',
        'MountVolume.SetUp failed for volume "kube-api-access-x9z": object "kube-system"/"coredns" not registered',
        "authorization mode Node,RBAC; basic information; the bearer was expired; bypass=1; secret: nil",
        "docker run -u 0:0 --user 1000:1000 busybox",
        "17 token(s) left, 3 passwords were wrong",
        "MountVolume.SetUp failed for volume: failed to fetch token: too many open files",
        "v1.34.4-eks-a737599, 2026-11-29T20:03:52.585Z, 10.244.1.3:6443, fd00::1",
        "",
    ],
)
def test_what_is_no_secret_stays_as_it_is(said: str) -> None:
    assert scrub(said) == said


def test_json_stays_json_and_a_name_tells_of_what_is_below_it() -> None:
    given: Any = {
        "password": CANARY,
        "env": [{"DB_PASSWORD": CANARY}, f"token={CANARY}", 3, None, True],
        "secret": {"name": "which"},
        "token": 7,
        "test": f"as it is: token={CANARY}",
    }
    assert scrubbed(given, {"test"}) == {
        "password": REMOVED,
        "env": [{"DB_PASSWORD": REMOVED}, f"token={REMOVED}", 3, None, True],
        "secret": {"name": "which"},
        "token": 7,
        "test": f"as it is: token={CANARY}",
    }
    text = scrub(json.dumps({"a": json.dumps({"password": f'x"{CANARY}', "next": 1})}))
    assert CANARY not in text


def test_a_key_that_was_cut_off_goes_too() -> None:
    assert CANARY not in scrub(f"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n2026 node kubelet: {CANARY}")


PARTS = st.sampled_from(
    [
        *(
            "password",
            "token",
            "Secret",
            "auth",
            "=",
            ":",
            ": ",
            " ",
            '"',
            '\\"',
            "'",
            "://",
            "@",
            "/",
            ",",
            "--",
            "\n",
        ),
        *("Bearer ", "EnvVar{Name:A,Value:", ",ValueFrom:nil", "Command:[", "],Args:[", "-----BEGIN PRIVATE KEY-----"),
        *(
            "a",
            "x1",
            "eyJhbGciOiJI",
            ".",
            "\n",
            REMOVED,
            "İ",
            "mysql",
            " -p",
            "&",
            "-u ",
            "sha256:",
            "{",
            "}",
            "cookie",
        ),
    ]
)


@given(st.lists(PARTS, max_size=30).map("".join))
def test_doing_it_twice_changes_nothing(text: str) -> None:
    once = scrub(text)
    assert scrub(once) == once


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    scrub(text)


def test_the_file_of_a_program_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "output.log"
    path.write_bytes(f"\xff token={CANARY}\n".encode("latin-1"))
    scrub_file(path)
    assert path.read_text() == f"\ufffd token={REMOVED}\n"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_quick_look_misses_no_word_that_a_pattern_is_tried_at() -> None:
    words = [word for word, _ in module._BY_WORD]
    assert len(words) > 50
    assert [word for word in words if module._ANY.search(f"e{word}0") is None] == []
