"""What is kept while the log is away."""

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from libs.events.envelope import Outgoing


class Usage(NamedTuple):
    """What waits in a spool."""

    records: int
    size_bytes: int


class Spool(Protocol):
    """Records that are safe on this machine's disk until the log has them, in the order in which they came.

    One task reads, confirms and adopts; any number append.
    """

    @property
    def usage(self) -> Usage:
        """What isn't confirmed, appends that are under way included."""
        ...

    @property
    def is_taking(self) -> bool:
        """Whether the last append found room."""
        ...

    async def append(self, records: "Sequence[Outgoing]") -> None:
        """Return once they survive the end of the process and of the machine. Raises PublishFailed: full, or the disk refuses.

        What was refused may be read all the same.
        """
        ...

    async def read(self, *, max_records: int, max_bytes: int) -> "Sequence[Outgoing]":
        """The oldest that aren't confirmed, at least one where there is one; the same again until they are. Raises OSError."""
        ...

    async def confirm(self) -> None:
        """The log has what `read` gave last. Without it a later process reads it again. Raises OSError."""
        ...

    async def set_aside(self, record: "Outgoing") -> None:
        """Keep for a person what the log will never take. Raises OSError."""
        ...

    async def adopt(self) -> None:
        """Take over what ended processes left behind. Raises OSError."""
        ...

    async def rest(self) -> None:
        """Nothing is expected soon: give up what isn't needed. Raises OSError."""
        ...
