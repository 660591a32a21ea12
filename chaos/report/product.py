"""The product facts of a bundle, as vendors know them from the Kubernetes conformance programme (PRODUCT.yaml)."""

import re
from dataclasses import dataclass
from email.utils import getaddresses
from pathlib import Path

from chaos.basics.untrusted import PRODUCT, bounded, yaml_of
from chaos.errors import OrdealError

# What github.com/cncf/k8s-conformance asks for in each PRODUCT.yaml (its instructions.md, and the programme that looks
# through what is handed in: kubernetes-sigs/verify-conformance), and what to write there.
FIELDS = {
    "vendor": "the vendor's name",
    "name": "the product's name",
    "version": "the product's version",
    "website_url": "the product's page",
    "documentation_url": "the product's documentation",
    "type": "distribution, hosted platform or installer",
    "description": "one sentence about the product",
    "contact_email_address": "whom to write to",
}
OPTIONAL = {
    "product_logo_url": "a logo as a vector graphic (SVG, AI or EPS), where it is not the vendor's",
    "repo_url": "where the source is, if it is open",
}
TYPES = ("distribution", "hosted platform", "hosted", "platform", "installer")  # in small letters, as there
_URL = re.compile(r"https?://[^\s/]+\S*")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True)
class Product:
    """The file as it stands in the bundle, and what is wrong with it: a sentence a field."""

    content: bytes
    lacks: tuple[str, ...]


def read(path: Path) -> Product:
    """A vendor's file. Raises OrdealError where it can't be read or a field is wrong or missing."""
    try:
        with path.open("rb") as file:
            content = bounded(file, PRODUCT)
    except OSError as error:
        raise OrdealError(f"the product facts {path} can't be read: {error.strerror}") from error
    except ValueError as error:
        raise OrdealError(f"the product facts {path} can't be handed in: {error}") from error
    lacks = check(content)
    if lacks:
        raise OrdealError(f"the product facts {path} can't be handed in: {'; '.join(lacks)}")
    return Product(content, ())


def template() -> Product:
    """A file to be filled in."""
    lines = ["# To be filled in; then make the bundle again with --product."]
    lines += [f'{name}: ""  # {what}' for name, what in FIELDS.items()]
    lines += [f'# {name}: ""  # {what}; may be left out' for name, what in OPTIONAL.items()]
    content = ("\n".join(lines) + "\n").encode()
    return Product(content, check(content))


def check(content: bytes) -> tuple[str, ...]:
    """What is wrong with product facts; empty where nothing is."""
    try:
        facts = yaml_of(content, PRODUCT)
    except ValueError as error:
        return (str(error),)
    if not isinstance(facts, dict):
        return ("it is no mapping of fields",)
    no_text = [str(name) for name, value in facts.items() if value is not None and not isinstance(value, str)]
    if no_text:  # what becomes of 11.0 without quotes is for each reader to guess
        return tuple(f'{name} is no text: put it in quotes, {name}: "..."' for name in no_text)
    said = {str(name): (value or "").strip() for name, value in facts.items()}
    lacks = [f"{name} is missing ({what})" for name, what in FIELDS.items() if not said.get(name)]
    lacks += [f"there is no field {name}" for name in said if name not in FIELDS and name not in OPTIONAL]
    lacks += [
        f"{name} is no address of a page: {value}"
        for name, value in said.items()
        if name.endswith("_url") and value and not _URL.fullmatch(value)
    ]
    if said.get("type") and said["type"] not in TYPES:
        lacks.append(f"type is {said['type']}, it must be {', '.join(TYPES[:-1])} or {TYPES[-1]}")
    if said.get("contact_email_address") and not _is_address(said["contact_email_address"]):
        lacks.append(f"contact_email_address is no address: {said['contact_email_address']}")
    return tuple(lacks)


def _is_address(text: str) -> bool:
    """An address, or a name with one behind it: `Team <team@example.org>`."""
    found = getaddresses([text])
    return len(found) == 1 and bool(_EMAIL.fullmatch(found[0][1]))
