"""The rule tree, parsed, and which touchpoints its conditions ask for. Nothing here evaluates.

Decides how much history is enough for an exact answer, so that one more touchpoint costs the same at the 100,000th.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from services.segmentation.domain.values import RELATIVE_OPS, Json


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """An operator and what it compares with: of relative dates a window in microseconds.

    Equal by what is written: 1, 1.0 and true are three values.
    """

    op: str
    value: Json

    @property
    def is_relative(self) -> bool:
        """Whether the answer changes as time goes on though the value doesn't."""
        return self.op in RELATIVE_OPS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Comparison) and (self.op, repr(self.value)) == (other.op, repr(other.value))

    def __hash__(self) -> int:
        return hash((self.op, repr(self.value)))


@dataclass(frozen=True, slots=True)
class All:
    rules: "tuple[Rule, ...]"


@dataclass(frozen=True, slots=True)
class Some:
    """`any` of the rule tree."""

    rules: "tuple[Rule, ...]"


@dataclass(frozen=True, slots=True)
class Not:
    rule: "Rule"


@dataclass(frozen=True, slots=True)
class Trait:
    name: str
    test: Comparison


@dataclass(frozen=True, slots=True)
class View:
    """A figure of the 360-degree view. `path` begins with aggregates, attribution, lead or consent."""

    path: tuple[str, ...]
    test: Comparison


@dataclass(frozen=True, slots=True)
class Property:
    """A condition on a touchpoint's properties. A `*` in the path stands for one line of a list."""

    path: tuple[str, ...]
    test: Comparison

    @property
    def list_path(self) -> tuple[str, ...] | None:
        """The list whose line is meant; None for a plain property."""
        return self.path[: self.path.index("*")] if "*" in self.path else None


@dataclass(frozen=True, slots=True)
class AllProperties:
    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class SomeProperties:
    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True, slots=True)
class NotProperty:
    condition: "Condition"


Condition: TypeAlias = Property | AllProperties | SomeProperties | NotProperty


@dataclass(frozen=True, slots=True)
class Between:
    """Touchpoints with t in [from, to), in microseconds."""

    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class Within:
    """Touchpoints with t in (T - window, T] at instant T."""

    window_us: int


class Need(NamedTuple):
    """Touchpoints that a condition asks for.

    Those later than the last judgement are always needed; of the earlier ones the latest `limit` (None: all), with t in
    [from_us, to_us) and, where a window slides, no older than `window_us` before the last judgement.
    """

    name: str
    channel: str | None = None
    limit: int | None = None
    from_us: int | None = None
    to_us: int | None = None
    window_us: int | None = None
    with_properties: bool = False


_MOST_COUNTED: Final = 1_000_000_000
"""Nobody has as many touchpoints; a comparison with more is decided by then."""
AT_LEAST_ONCE: Final = Comparison("gte", 1)


@dataclass(frozen=True, slots=True)
class Touch:
    """Touchpoints of one name, on one channel or any, that meet the conditions. `need`: all of them.

    `dated`: the conditions that meet other touchpoints as time goes on.
    """

    name: str
    where: Condition | None = None
    channel: str | None = None
    need: Need = field(init=False, compare=False, repr=False)
    dated: tuple[Property, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _set(self, "need", Need(self.name, self.channel, with_properties=self.where is not None))
        _set(self, "dated", tuple(_find_dated(self.where)) if self.where is not None else ())


@dataclass(frozen=True, slots=True)
class Since:
    """Touchpoints after the latest such one; without one, none."""

    touch: Touch
    need: Need = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # Of conditions on properties nobody knows how many of the latest meet them: then all are needed.
        _set(self, "need", self.touch.need._replace(limit=1 if self.touch.where is None else None))


Span: TypeAlias = Between | Within | Since


@dataclass(frozen=True, slots=True)
class Figure:
    """Sum, average, least or greatest of a number that the touchpoints carry. `currency`: of a money property, as sent."""

    of: Literal["sum", "average", "min", "max"]
    property: tuple[str, ...]
    test: Comparison
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Did:
    """How often, or how much. Without `times` and `figure`: at least once.

    A plain count only matters up to the greatest number it is compared with: one more than that of the latest touchpoints
    is all that is needed.
    """

    touch: Touch
    times: Comparison | None = None
    figure: Figure | None = None
    span: Span | None = None
    need: Need = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        span, is_counted = self.span, self.touch.where is None and self.figure is None
        need = Need(
            self.touch.name,
            self.touch.channel,
            limit=_find_saturation(self.times or AT_LEAST_ONCE) if is_counted else None,
            from_us=span.from_us if isinstance(span, Between) else None,
            to_us=span.to_us if isinstance(span, Between) else None,
            window_us=span.window_us if isinstance(span, Within) else None,
            with_properties=not is_counted,
        )
        _set(self, "need", need)


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a sequence; `within_us`: at most so long after the step before, inclusive."""

    touch: Touch
    within_us: int | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    steps: tuple[Step, ...]
    without: Touch | None = None

    @property
    def touches(self) -> Iterator[Touch]:
        """Of the steps in order, then of `without`."""
        yield from (step.touch for step in self.steps)
        if self.without is not None:
            yield self.without


@dataclass(frozen=True, slots=True)
class InSegment:
    segment_id: str


@dataclass(frozen=True, slots=True)
class OnList:
    """A manual list."""

    list_id: str


@dataclass(frozen=True, slots=True)
class Consent:
    purpose: str
    channel: str


@dataclass(frozen=True, slots=True)
class Stage:
    stages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tier:
    tiers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Points:
    test: Comparison


@dataclass(frozen=True, slots=True)
class Score:
    name: str
    test: Comparison


@dataclass(frozen=True, slots=True)
class Computed:
    """A computed trait, as the view has it."""

    name: str
    test: Comparison


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stable share of all profiles: `from_` inclusive, `to` exclusive, of 100."""

    salt: str
    from_: int
    to: int


Leaf: TypeAlias = Trait | View | Did | Sequence | InSegment | OnList | Consent | Stage | Tier | Points | Score | Computed | Bucket
Timed: TypeAlias = Did | Sequence | Trait | View | Computed
"""What can change as time goes on."""
Valued: TypeAlias = Trait | View | Points | Score | Computed
"""Conditions on one value of the view."""
Rule: TypeAlias = All | Some | Not | Leaf


def _find_dated(condition: Condition) -> Iterator[Property]:
    match condition:
        case Property(_, test):
            if test.is_relative:
                yield condition
        case NotProperty(inner):
            yield from _find_dated(inner)
        case AllProperties(inner) | SomeProperties(inner):
            for one in inner:
                yield from _find_dated(one)


def _find_saturation(times: Comparison) -> int:
    values = times.value if isinstance(times.value, list) else [times.value]
    return int(min(max(values), _MOST_COUNTED)) + 1


def _set(node: object, name: str, value: object) -> None:
    """For what a frozen node works out of itself once."""
    object.__setattr__(node, name, value)
