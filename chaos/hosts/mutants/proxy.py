"""Mutants of kube-proxy."""

from chaos.hosts.mutants.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = ()
