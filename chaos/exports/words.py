"""What others are told in words: text of others, and why something failed. It acts on nobody, and has an end."""

from chaos.basics.scrub import scrub
from chaos.basics.visible import line
from chaos.errors import OrdealError


def shown(text: str, most: int) -> str:
    """As others may be shown it: on one line, visible, without secrets, and not much longer than `most` characters."""
    told = line(scrub(text))
    return told if len(told) <= most else f"{told[:most]}..."


def why_of(error: BaseException) -> str:
    """Why something came to nothing; of an error that nobody has foreseen its kind alone: its words may be a secret."""
    return str(error) if isinstance(error, OrdealError) else f"it failed ({type(error).__name__})"
