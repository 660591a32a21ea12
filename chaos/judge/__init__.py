"""Promises that several subjects use, and how one is judged."""

from chaos.basics.found import load


def load_all() -> None:
    """Register every promise, those of the subjects too, so that a recipe finds its own."""
    load("chaos.judge")
    load("chaos.subjects", only="promises")
