"""A kubeconfig's text, JSON or YAML, made values: up to a limit, and each key once."""

from typing import Any

import yaml

from chaos.basics.untrusted import MERGE, OnceLoader, check_values, json_of, no_yaml, too_deep

DEPTH, VALUES = 100, 1_000_000  # no kubeconfig nests deeper or holds more; a file made to do harm does


class _Loader(OnceLoader):
    """Leaves dates texts, as they are to Go. Of keys that are merged (`<<`) it keeps each once, as they come."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (the base class has it so)
        first: [each for each in known if each[0] != "tag:yaml.org,2002:timestamp"]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, stream: bytes) -> None:
        super().__init__(stream)
        self._merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """As PyYAML does, which keeps a key as often as it is merged: a few lines grow to what no machine holds.

        Raises yaml.YAMLError.
        """
        merges = [value for key, value in node.value if key.tag == MERGE]
        if merges:
            self.check_once(node)
        for each in (inner for value in merges for inner in (value, *value.value)):
            if isinstance(each, yaml.MappingNode):
                self.flatten_mapping(each)
                self._merged += len(each.value)
        if self._merged > VALUES:
            raise yaml.constructor.ConstructorError(None, None, "it merges more than a kubeconfig can", node.start_mark)
        super().flatten_mapping(node)
        if merges:
            node.value = list({self.key(key): (key, value) for key, value in node.value}.values())


def parse(data: bytes) -> object:
    """JSON, or the first document of YAML, without what is null. Raises ValueError with the end of a sentence."""
    try:
        try:
            held = json_of(data)
        except ValueError:
            depth = 0
            for event in yaml.parse(data, _Loader):  # the loader itself would overflow the stack
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > DEPTH:
                    raise too_deep() from None
                if isinstance(event, yaml.DocumentEndEvent):
                    break
            held = next(iter(yaml.load_all(data, _Loader)), None)
    except yaml.YAMLError as error:
        raise no_yaml(error) from error
    except RecursionError as error:
        raise too_deep() from error
    except (AttributeError, LookupError, TypeError) as error:  # of values that do not fit their tags
        raise ValueError(f"it holds a value that can't be read ({error!r})") from error
    made = _Without().nulls(held)
    check_values(made)
    return made


class _Without:
    """Takes out what is null, which is as good as not there; gives up on what grows without end by its aliases."""

    def __init__(self) -> None:
        self._seen = 0

    def nulls(self, value: Any, depth: int = 0) -> Any:
        self._seen += 1
        if self._seen > VALUES or depth > DEPTH:
            raise ValueError("it holds more than a kubeconfig can")
        if isinstance(value, dict):
            return {str(key): self.nulls(each, depth + 1) for key, each in value.items() if each is not None}
        if isinstance(value, list):
            return [{} if each is None else self.nulls(each, depth + 1) for each in value]
        return value
