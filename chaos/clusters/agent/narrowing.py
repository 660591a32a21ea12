"""Of a plan that several nodes share, the part that is one node's own."""

from collections.abc import Collection, Mapping
from typing import Any


def narrowed(plan: Any, node: str, nodes: Collection[str]) -> Any:
    """The plan without what names another of `nodes`: elements of lists that are its name, or whose field `node` is;
    keys that are its name. What stands alone in a field stays.
    """
    others = frozenset(nodes) - {node}

    def is_others(value: object) -> bool:
        return value in others if isinstance(value, str) else isinstance(value, Mapping) and value.get("node") in others

    if isinstance(plan, Mapping):
        return {key: narrowed(value, node, nodes) for key, value in plan.items() if key not in others}
    if isinstance(plan, list | tuple):
        return [narrowed(value, node, nodes) for value in plan if not is_others(value)]
    return plan
