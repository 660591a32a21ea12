"""Mutants of the scheduler."""

from chaos.hosts.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = ()
