"""A node's name: what is written for its kubelet, and when a rename is undone."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from chaos.subjects.identity import faults
from chaos.subjects.identity.faults import RenameNode, RenameNodePlan, with_flags


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'KUBELET_EXTRA_ARGS="--x=1"\n'),
        ("KUBELET_EXTRA_ARGS=\n", 'KUBELET_EXTRA_ARGS=\nKUBELET_EXTRA_ARGS="--x=1"\n'),
        ("KUBELET_EXTRA_ARGS=--v=2", 'KUBELET_EXTRA_ARGS=--v=2\nKUBELET_EXTRA_ARGS="--v=2 --x=1"\n'),
        (
            'A=b\nKUBELET_EXTRA_ARGS="--v=2 --w=3"\n# the end\n',
            'A=b\nKUBELET_EXTRA_ARGS="--v=2 --w=3"\n# the end\nKUBELET_EXTRA_ARGS="--v=2 --w=3 --x=1"\n',
        ),
        (
            "KUBELET_EXTRA_ARGS=--old\nKUBELET_EXTRA_ARGS=--new\n",
            'KUBELET_EXTRA_ARGS=--old\nKUBELET_EXTRA_ARGS=--new\nKUBELET_EXTRA_ARGS="--new --x=1"\n',
        ),
    ],
)
def test_flags_come_after_those_that_are_there(before: str, after: str) -> None:
    assert with_flags(before, "--x=1") == after


@pytest.mark.parametrize(
    ("now", "undone"),
    [
        ({"/etc/cni/net.d/a.conf": "as it was"}, True),
        ({"/etc/cni/net.d/a.conf": "as it was", "/run/flannel/subnet.env": "written when the agent was up"}, True),
        ({"/etc/cni/net.d/a.conf": "of the other Node"}, False),
        ({}, False),
    ],
)
def test_a_rename_is_undone_when_the_files_that_there_were_are_as_they_were(
    monkeypatch: pytest.MonkeyPatch, now: dict[str, str], *, undone: bool
) -> None:
    answers: dict[str, Any] = {
        "_marked": False,
        "_cni_files": now.items(),
        "_hostnames": ("w1", "w1\n"),
        "_started_under": False,
        "_routes_to_itself": [],
        "_is_duplicate": False,
        "_pods_of": [],
    }
    for name, answer in answers.items():
        monkeypatch.setattr(faults, name, lambda *_, answer=answer: answer)
    plan = RenameNodePlan("w1", "renamed", "w1", "w1\n", "m", "k", {"/etc/cni/net.d/a.conf": "as it was"})
    cluster: Any = SimpleNamespace(api=nullcontext)
    assert RenameNode.undone(cluster, plan) is undone
