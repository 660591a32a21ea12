"""Faults that several subjects use, one file for each target; `base` owns safety for all there are."""

from chaos.basics.found import load


def load_all() -> None:
    """Register every fault, those of the subjects too, so that an undo is found by its kind."""
    load("chaos.harm")
    load("chaos.subjects")
