"""What ingest tells its callers. The tracking endpoints add `message` to the body, which the SDKs need beside `code`."""

from libs.kit.errors import BadRequest, Conflict, Invalid, NotFound, PayloadTooLarge, TooManyRequests, Unauthorized, Unavailable


class InvalidWriteKey(Unauthorized):
    code = "invalid_write_key"
    title = "The write key isn't known"

    def __init__(self) -> None:
        super().__init__(
            "No write key, or one that is unknown or revoked.", headers={"WWW-Authenticate": 'Basic realm="rapport write key"'}
        )


class BodyUnreadable(BadRequest):
    code = "not_json"
    title = "The body can't be read"


class BodyInvalid(Invalid):
    code = "invalid"
    title = "The body isn't what this address takes"


class EventTooLarge(PayloadTooLarge):
    code = "event_too_large"
    title = "The event is too large"


class BatchTooLarge(PayloadTooLarge):
    code = "batch_too_large"
    title = "The batch is too large"


class Overloaded(TooManyRequests):
    """More waits to be acknowledged than this process may hold. Some SDKs read Segment's own header beside the standard one."""

    code = "overloaded"
    title = "Too much at once"

    def __init__(self) -> None:
        super().__init__(
            "More is waiting to be stored than this server holds. Send it again.",
            headers={"Retry-After": "1", "X-RateLimit-Reset": "1"},
        )


class BrokerAway(Unavailable):
    """Nothing was taken: sending the same again is safe and needed."""

    code = "broker_away"
    title = "The log can't take touchpoints right now"

    def __init__(self) -> None:
        super().__init__("The touchpoints couldn't be stored. Send them again.")


class AnalyticsJsMissing(NotFound):
    """This installation has no browser SDK to serve, or the SDK has no such file."""

    code = "analytics_js_missing"
    title = "There is no such script here"

    def __init__(self, *, installed: bool) -> None:
        super().__init__(
            "analytics-next has no chunk of this name."
            if installed
            else "No browser SDK is installed: `rapport doctor` tells how to get it, INGEST_ANALYTICS_JS names its folder."
        )


class SourceNotFound(NotFound):
    code = "source_not_found"
    title = "There is no such source"


class SourceExists(Conflict):
    code = "source_exists"
    title = "A source of that id exists"


class KeyNotFound(NotFound):
    code = "key_not_found"
    title = "There is no such active key"
