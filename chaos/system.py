"""Which systems this runs on. Imported before anything that only Linux has."""

import sys

RUNS_ON = "linux"


def why_not() -> str:
    """Why it can't run on this system; "" where it can."""
    if sys.platform == RUNS_ON:
        return ""
    return f"kube-ordeal runs on Linux, and this is {sys.platform}: use a Linux machine, or a virtual one"
