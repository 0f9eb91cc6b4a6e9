"""What messaging raises to the consumer loop, to services and to the command line; none of it reaches an HTTP client as it is."""


class MessagingError(Exception):
    """Base of everything this package raises on purpose."""


class PublishFailed(MessagingError):
    """Not every record was acknowledged. Some may be in the log all the same: publishing again is safe, consumers drop doubles.

    `retryable` is False where another try must end the same way: a record larger than the broker takes, no such topic, no right.
    """

    def __init__(self, detail: str, *, retryable: bool = True) -> None:
        super().__init__(detail)
        self.retryable = retryable


class RecordRefused(PublishFailed):
    """The broker will never take one of the records for what is in it; what was published with it may be in the log."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail, retryable=False)


class OwnershipLost(MessagingError):
    """An offset commit was refused: the partitions belong to another generation of the group by now."""


class SourceUnavailable(MessagingError):
    """The broker can't be reached or can't answer now; the same call may work later."""


class ConsumerStopped(MessagingError):
    """The consumer gave up on purpose, with the offsets before the trouble. A person has to look: `reason` says what was seen."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TopicsMissing(MessagingError):
    """Topics are declared to be made by the cluster's owner and aren't as they should be. The text lists each and what to do."""
