"""A plan as an undo has it that comes after a crash."""

import json
from typing import TypeVar

import msgspec

Plan = TypeVar("Plan", bound=msgspec.Struct)


def through_the_journal(plan: Plan) -> Plan:
    return msgspec.convert(json.loads(json.dumps(msgspec.to_builtins(plan))), type(plan))
