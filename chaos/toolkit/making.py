"""Activities made of what has a signature already: a fault's class, a promise, a workload, a sampler.

Chaos Toolkit looks at functions: at their names, modules, signatures and docstrings. So real functions are made here.

Arguments are plain JSON. Nodes are named in one string: names with commas between them, among them the words `workers`,
`first-worker`, `last-worker` and `other-workers` (all but the first, by name), `dns-node` (where CoreDNS runs),
`mysql-node` (where deploy_mysql's member 0 runs), `control-plane`, `all`. A mapping with the key `hardened` is a choice
by variant: `{hardened: true, CONTROL: false}` is false while the configuration's `control` is CONTROL. null leaves the
step out.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, is_dataclass
from inspect import Parameter, Signature, cleandoc, signature
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from chaos.errors import OrdealError
from chaos.subjects.handles.dns import dns_node
from chaos.subjects.mysql.workload import members
from chaos.toolkit.session import SESSION, activity, always, by_variant
from chaos.toolkit.settings import Configuration

LEFT_OUT = "left out"
# What people say for it. Both are lists of names, or the node by daemon.
RENAMED = {"workloads": "names", "subjects": "members", "daemons": "places"}
ONE_NODE, SOME_NODES = frozenset({"node", "one"}), frozenset({"nodes", "others", "peers", "pair", "suspect"})

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class _Argument:
    """An argument as an experiment gives it; `parameter` is what it becomes, of the type `hint`."""

    name: str
    parameter: str
    hint: Any
    default: object

    @property
    def admits_none(self) -> bool:
        return type(None) in get_args(self.hint)

    @property
    def is_list(self) -> bool:
        return any(_is(each, Sequence) and get_args(each)[0] is str for each in (self.hint, *get_args(self.hint)))

    def shown(self) -> Parameter:
        said, default = self.hint, self.default
        if self.is_list:
            said = str | None if self.admits_none else str
            default = ",".join(default) if isinstance(default, tuple) else default
        return Parameter(self.name, Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=said)

    def value(self, given: object) -> object:
        """What was given as the parameter's type. Raises OrdealError where it is not of that."""
        if given is None or (given == "" and self.admits_none):
            return None
        if self.name in ONE_NODE | SOME_NODES and isinstance(given, list | tuple):
            given = ",".join(map(str, given))
        if self.name in ONE_NODE:
            return one_node(str(given))
        if self.name in SOME_NODES:
            return nodes_named(str(given)) if given else ()
        if _is(self.hint, Mapping) and self.name == RENAMED["daemons"] and isinstance(given, Mapping):
            return {str(daemon): one_node(str(node)) for daemon, node in given.items()}
        if self.is_list and isinstance(given, str):
            return names_in(given)
        try:
            return msgspec.convert(given, self.hint, strict=False)
        except msgspec.ValidationError as error:
            raise OrdealError(f"{self.name} is {given!r}: {error}") from None


def step(function: Function) -> Function:
    """Make an activity of a function whose parameters are what an experiment says, as everywhere here."""
    return made(function.__name__, function.__module__, function, function)


def made(
    name: str,
    module: str,
    call: Function,
    do: Function,
    *,
    defaults: Mapping[str, object] | None = None,
    filled: Set[str] = frozenset(),
    doc: str = "",
) -> Function:
    """The activity `name` of a module, whose arguments are the parameters of `call`; `do` is called with their values.

    `defaults`: what may be left out beside what `call` itself lets leave out. `filled`: parameters that `do` knows of
    itself; no argument either is one with a default that plain JSON can't say.
    """
    arguments = {each.name: each for each in _arguments(call, defaults or {}, filled)}
    ordered = sorted((each.shown() for each in arguments.values()), key=lambda p: p.default is not Parameter.empty)
    hints = get_type_hints(do)
    configured = Parameter(
        "configuration", Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=Configuration | None
    )
    its_signature = Signature([*ordered, configured], return_annotation=hints.get("return", object))

    def run(*args: Any, **kwargs: Any) -> object:
        bound = its_signature.bind(*args, **kwargs)
        bound.apply_defaults()
        SESSION.open(bound.arguments.pop("configuration"))
        control, values = SESSION.lab.control, {}
        for each in arguments.values():
            value = each.value(by_variant(bound.arguments[each.name], control))
            if value is None and not each.admits_none:
                return False if hints.get("return") is bool else LEFT_OUT
            values[each.parameter] = value
        return do(**values)

    return activity(_named(run, name, module, doc or cleandoc(call.__doc__ or ""), its_signature))


def taking_back(name: str, module: str, kind: str) -> Function:
    """The activity that takes back every fault of a kind."""

    def run() -> int:
        return SESSION.take_back(kind)

    doc = f"Take back what {kind.replace('-', '_')} did; safe to repeat. Returns how often it was done."
    return always(_named(run, name, module, doc, Signature(return_annotation=int)))


def written(names: Mapping[str, object]) -> list[str]:
    """Which of a module's names are activities of its own."""
    own = names["__name__"]
    return sorted(n for n, each in names.items() if hasattr(each, "__wrapped__") and each.__module__ == own)


def nodes_named(named: str) -> tuple[str, ...]:
    """The nodes that a string names; see the module's text. Raises OrdealError for one that is not there."""
    if "," in named:
        return tuple(name for part in names_in(named) for name in nodes_named(part))
    there = {n.name for n in SESSION.nodes()}
    workers = sorted(n.name for n in SESSION.nodes() if not n.control_plane)
    words: dict[str, Callable[[], tuple[str, ...]]] = {
        "all": lambda: tuple(n.name for n in SESSION.nodes()),
        "workers": lambda: tuple(n.name for n in SESSION.nodes() if not n.control_plane),
        "control-plane": lambda: tuple(n.name for n in SESSION.nodes() if n.control_plane),
        "first-worker": lambda: tuple(workers[:1]),
        "last-worker": lambda: tuple(workers[-1:]),
        "other-workers": lambda: tuple(workers[1:]),
        "mysql-node": lambda: (members(SESSION.workload("mysql"))[0].node,),
        "dns-node": lambda: (dns_node(SESSION.cluster()),),
    }
    found = words[named]() if named in words else names_in(named)
    unknown = [name for name in found if name not in there]
    if unknown or not found:
        raise OrdealError(f"there is no node {', '.join(unknown) or named} in cluster {SESSION.cluster().ref.name}")
    return found


def one_node(named: str) -> str:
    """The one node that a string names. Raises OrdealError where it names none, or several."""
    found = nodes_named(named)
    if len(found) != 1:
        raise OrdealError(f"{named} names {len(found)} nodes, and this is for one: {', '.join(found)}")
    return found[0]


def names_in(listed: str) -> tuple[str, ...]:
    """Names with commas between them."""
    return tuple(name for part in listed.split(",") if (name := part.strip()))


def _arguments(call: Function, defaults: Mapping[str, object], filled: Set[str]) -> Iterator[_Argument]:
    hints = get_type_hints(call)
    for each in signature(call).parameters.values():
        hint = hints[each.name]
        name = each.name if each.name == "daemons" and not _is(hint, Mapping) else RENAMED.get(each.name, each.name)
        if each.name not in filled and (each.default is Parameter.empty or _is_plain(hint)):
            yield _Argument(name, each.name, hint, defaults.get(name, each.default))


def _is_plain(hint: Any) -> bool:
    return not is_dataclass(hint) and all(_is_plain(each) for each in get_args(hint))


def _is(hint: Any, kind: type) -> bool:
    origin = get_origin(hint)
    return isinstance(origin, type) and issubclass(origin, kind)


def _named(function: Function, name: str, module: str, doc: str, its_signature: Signature) -> Function:
    function.__name__ = function.__qualname__ = name
    function.__module__, function.__doc__ = module, doc
    function.__signature__ = its_signature  # type: ignore[attr-defined]
    return function
