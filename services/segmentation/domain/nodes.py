"""The rule tree, parsed. A node is a value: equal nodes ask the same. Nothing here evaluates."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from services.segmentation.domain.values import Json


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """An operator and what it compares with. Equal by what is written: 1, 1.0 and true are three values."""

    op: str
    value: Json

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Test) and (self.op, repr(self.value)) == (other.op, repr(other.value))

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
    test: Test


@dataclass(frozen=True, slots=True)
class View:
    """A figure of the 360-degree view. `path` begins with aggregates, attribution, lead or consent."""

    path: tuple[str, ...]
    test: Test


@dataclass(frozen=True, slots=True)
class Property:
    """A condition on a touchpoint's properties. A `*` in the path stands for one line of a list."""

    path: tuple[str, ...]
    test: Test

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


@dataclass(frozen=True, slots=True)
class Touch:
    """Touchpoints of one name, on one channel or any, that meet the conditions."""

    name: str
    where: Condition | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Since:
    """Touchpoints after the latest such one; without one, none."""

    touch: Touch


Span: TypeAlias = Between | Within | Since


@dataclass(frozen=True, slots=True)
class Figure:
    """Sum, average, least or greatest of a number that the touchpoints carry. `currency`: of a money property, as sent."""

    of: Literal["sum", "average", "min", "max"]
    property: tuple[str, ...]
    test: Test
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Did:
    """How often, or how much. Without `times` and `figure`: at least once."""

    touch: Touch
    times: Test | None = None
    figure: Figure | None = None
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a sequence; `within_us`: at most so long after the step before, inclusive."""

    touch: Touch
    within_us: int | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    steps: tuple[Step, ...]
    without: Touch | None = None


@dataclass(frozen=True, slots=True)
class InSegment:
    segment_id: str


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
    test: Test


@dataclass(frozen=True, slots=True)
class Score:
    name: str
    test: Test


@dataclass(frozen=True, slots=True)
class Bucket:
    """A stable share of all profiles: `from_` inclusive, `to` exclusive, of 100."""

    salt: str
    from_: int
    to: int


Leaf: TypeAlias = Trait | View | Did | Sequence | InSegment | Consent | Stage | Tier | Points | Score | Bucket
Rule: TypeAlias = All | Some | Not | Leaf
