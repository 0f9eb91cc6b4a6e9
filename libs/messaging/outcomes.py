"""What can become of one consumed record. A failure is a value; only the consumer loop turns it into a dead letter or a pause."""

from dataclasses import dataclass
from typing import ClassVar, TypeAlias


@dataclass(frozen=True, slots=True)
class Handled:
    """Its effects are in this transaction."""

    label: ClassVar[str] = "handled"


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Its effects were committed before; nothing was done now."""

    label: ClassVar[str] = "duplicate"


@dataclass(frozen=True, slots=True)
class Ignored:
    """Not for this consumer (an unknown type, say). `reason` is a short stable word; it becomes a log field."""

    reason: str
    label: ClassVar[str] = "ignored"


@dataclass(frozen=True, slots=True)
class Reject:
    """Can never be handled as it stands: to the dead-letter topic. The handler left no effect of it in the transaction.

    `reason` is a short stable word (`malformed`, `unknown_identifier_kind`), `step` names the place that refused it. Neither may
    hold personal data: both are readable in headers and logs.
    """

    reason: str
    step: str
    label: ClassVar[str] = "rejected"


@dataclass(frozen=True, slots=True)
class Retry:
    """Can't be handled yet. The transaction is rolled back, the record's partition pauses in front of it and comes back.

    Records in front of it and those of other partitions are handled without it. `after_s` is the least wait before the next try;
    further tries back off from there, with jitter.
    """

    reason: str
    after_s: float = 1.0
    label: ClassVar[str] = "retried"


Outcome: TypeAlias = Handled | Duplicate | Ignored | Reject | Retry

HANDLED = Handled()
DUPLICATE = Duplicate()
