"""What is written into the file of the kubelet's further arguments."""

import pytest

from chaos.subjects.identity.faults import with_flags


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
