"""Names that are nearly standard: told to people, never changed by themselves. A business may well mean something else."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from libs.vocabulary.catalogue import CATALOGUE


def fold_name(name: str) -> str:
    """A name without letter case and separators: `order_completed`, `orderCompleted` and `Order Completed` fold alike."""
    return "".join(char for char in name.casefold() if char.isalnum())


_BY_FOLDED: Final[Mapping[str, str]] = MappingProxyType(
    {fold_name(name): standard for name, standard in CATALOGUE.aliases.items()}
    | {fold_name(name): name for name in CATALOGUE.names}
)


def find_spelled(text: str) -> str | None:
    """The standard name that a text spells in whatever case and with whatever separators."""
    return _BY_FOLDED.get(fold_name(text))


def find_same(name: str) -> str | None:
    """The standard name that differs in letter case and separators alone; None where there is none, or the name is standard."""
    if name in CATALOGUE.names or name in CATALOGUE.aliases:
        return None
    return find_spelled(name)
