"""Mutants: historical Kubernetes bugs put back into one component, to prove that the suites find them.

`known` says which there are; `build` makes the program of one of them.
"""

from chaos.hosts.mutants.build import BuiltMutant, build, built
from chaos.hosts.mutants.known import MUTANTS, find
from chaos.hosts.mutants.kubelet import PLEG_SCALED_THRESHOLD_S
from chaos.hosts.mutants.mutant import Mutant, Substitution

__all__ = ["MUTANTS", "PLEG_SCALED_THRESHOLD_S", "BuiltMutant", "Mutant", "Substitution", "build", "built", "find"]
