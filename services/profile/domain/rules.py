"""The rules of identity: what a business may change while Rapport runs, and how they stand where nothing was changed. Pure.

Strength and normal forms aren't among them: they are fixed at install (`libs.identity`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Final, Protocol, TypeVar

import msgspec

from libs.identity import EXTERNAL, CheckDigit, has_wrong_check_digit

_DEFAULT_LIMIT: Final = 5
_WEEK: Final = timedelta(days=7)
_YEAR: Final = timedelta(days=365)


class KindRules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for the identifiers of one kind.

    `limit`: how many one profile may hold; None: any number. `window`: only those count that joined it so lately, seen from the
    receipt of the touchpoint at hand. `blocked`: values that identify nobody, in normal form and lower case, beside those that
    `libs.identity` knows. `browser_claim`: whether a browser's unverified word of this kind is enough to link. `check_digit`:
    what numbers of this kind end with; one whose last digit is wrong identifies nobody.
    """

    description: str
    limit: int | None = _DEFAULT_LIMIT
    window: timedelta | None = None
    blocked: frozenset[str] = frozenset()
    browser_claim: bool = True
    check_digit: CheckDigit | None = None

    @property
    def drops(self) -> bool:
        """Whether any value is dropped beside those that always are."""
        return bool(self.blocked) or self.check_digit is not None

    def is_dropped(self, value: str) -> bool:
        return value.lower() in self.blocked or (self.check_digit is not None and has_wrong_check_digit(value, self.check_digit))


INSTALLED: Final[Mapping[str, KindRules]] = MappingProxyType(
    {
        "user_id": KindRules(description="An account of the business: who somebody is.", limit=1),
        "loyalty_card": KindRules(description="A card that is shown at the till."),
        EXTERNAL: KindRules(description="Every kind without rules of its own: ids of other systems."),
        "email": KindRules(description="An e-mail address.", window=_YEAR),
        "phone": KindRules(description="A phone number.", window=_YEAR),
        "anonymous_id": KindRules(description="A browser or an app, made up by the SDK there.", window=_WEEK),
        "device_id": KindRules(description="A device, by its own id.", window=_WEEK),
    }
)
"""Segment's limits with the windows it recommends: over the years a customer clears cookies and changes devices and addresses
more than five times (docs/decisions/0011-default-limits.md)."""


class Valued(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def value(self) -> str: ...


I = TypeVar("I", bound=Valued)  # noqa: E741 - an identifier


@dataclass(frozen=True, slots=True)
class Rules:
    """`version`: 0 as installed; grows with every change."""

    kinds: Mapping[str, KindRules] = field(default_factory=lambda: INSTALLED)
    version: int = 0

    def of(self, kind: str) -> KindRules:
        found = self.kinds.get(kind)
        return found if found is not None else self.kinds[EXTERNAL]

    @property
    def drops(self) -> bool:
        return any(one.drops for one in self.kinds.values())

    def sort_out(self, named: Sequence[I]) -> tuple[tuple[I, ...], tuple[I, ...]]:
        """Those that stand, and those that identify nobody; both in their order."""
        blocked = tuple(one for one in named if self.of(one.kind).is_dropped(one.value))
        return (tuple(one for one in named if one not in blocked), blocked) if blocked else (tuple(named), ())


def complete(given: Mapping[str, KindRules]) -> Mapping[str, KindRules]:
    """Kinds that a document leaves out stand as installed."""
    return {**INSTALLED, **given}
