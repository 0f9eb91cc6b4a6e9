"""How much may wait to be acknowledged at once."""

from collections.abc import Iterator
from contextlib import contextmanager

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

    @contextmanager
    def admit(self, size_bytes: int) -> Iterator[None]:
        """Raises Overloaded; and BrokerAway for what the log couldn't take."""
        self.hold(size_bytes)
        try:
            yield
        except PublishFailed as error:
            raise BrokerAway from error
        finally:
            self.release(size_bytes)

    def hold(self, size_bytes: int) -> None:
        """Count bytes that are in memory until `release`. Raises Overloaded, and then counts nothing."""
        if self._pending_bytes + size_bytes > self._max_pending_bytes:
            raise Overloaded
        self._pending_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        self._pending_bytes -= size_bytes
