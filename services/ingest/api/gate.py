"""How much may wait to be acknowledged at once."""

from libs.kit.metrics import gauge
from libs.messaging.errors import PublishFailed
from services.ingest.errors import BrokerAway, Overloaded

_PENDING = gauge("ingest_pending_bytes", "Bodies that wait for the log's acknowledgement.")


class Gate:
    """Bounds what is being read and what waits to be acknowledged: beyond it, better refused at once than never answered."""

    def __init__(self, max_pending_bytes: int) -> None:
        self._max_pending_bytes = max_pending_bytes
        self._pending_bytes = 0
        _PENDING.set_function(lambda: self._pending_bytes)

    def admit(self, size_bytes: int) -> "Admission":
        """A context. Raises Overloaded; and BrokerAway for what the log couldn't take."""
        return Admission(self, size_bytes)

    def hold(self, size_bytes: int) -> None:
        """Count bytes that are in memory until `release`. Raises Overloaded, and then counts nothing."""
        if self._pending_bytes + size_bytes > self._max_pending_bytes:
            raise Overloaded
        self._pending_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        self._pending_bytes -= size_bytes


class Admission:
    """Bytes that count as waiting while it is open. A class: each request passes here, and a generator costs three times that."""

    __slots__ = ("_gate", "_size_bytes")

    def __init__(self, gate: Gate, size_bytes: int) -> None:
        self._gate = gate
        self._size_bytes = size_bytes

    def __enter__(self) -> None:
        self._gate.hold(self._size_bytes)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        self._gate.release(self._size_bytes)
        if isinstance(error, PublishFailed):
            raise BrokerAway from error
