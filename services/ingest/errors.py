"""What ingest tells its callers. The tracking endpoints add `message` to the body, which the SDKs need beside `code`."""

from libs.kit.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)


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


class LogUnreadable(Unavailable):
    """Nothing was judged: that is no word on the plan."""

    code = "log_unreadable"
    title = "The log can't be read right now"

    def __init__(self) -> None:
        super().__init__("What was sent lately can't be read from the log. Ask again.")


class SourceNotFound(NotFound):
    code = "source_not_found"
    title = "There is no such source"


class SourceExists(Conflict):
    code = "source_exists"
    title = "A source of that id exists"


class KeyNotFound(NotFound):
    code = "key_not_found"
    title = "There is no such active key"


class WebhookNotFound(NotFound):
    code = "webhook_not_found"
    title = "There is no such webhook"

    def __init__(self) -> None:
        super().__init__("The source is unknown, or has no webhook of this provider.")


class SignatureInvalid(Unauthorized):
    """Nothing is kept of it: anybody could have sent it."""

    code = "invalid_signature"
    title = "The webhook's signature isn't valid"

    def __init__(self) -> None:
        super().__init__(
            "The delivery isn't signed, is signed with another secret, or was signed too long ago.",
            headers={"WWW-Authenticate": 'Basic realm="rapport webhook"'},
        )


class WebhookPartNotFound(NotFound):
    code = "webhook_part_not_found"
    title = "The webhook has no such secret or mapping"


class SnsAway(Unavailable):
    code = "sns_away"
    title = "Amazon SNS can't be asked right now"


class OriginNotAllowed(Forbidden):
    """The key is for browsers on other websites."""

    code = "origin_not_allowed"
    title = "The key can't be used from this website"

    def __init__(self) -> None:
        super().__init__("The source doesn't allow this Origin. Its `allowed_origins` say which it takes.")


class RateLimited(TooManyRequests):
    """The source sends more than it may: nothing of the request was taken."""

    code = "rate_limited"
    title = "The source's limit is reached"

    def __init__(self, wait_s: int) -> None:
        super().__init__(
            "The source sends more than its limit. Send it again after `Retry-After`.",
            headers={"Retry-After": str(wait_s), "X-RateLimit-Reset": str(wait_s)},
        )


class PlanNotFound(NotFound):
    code = "tracking_plan_not_found"
    title = "There is no such tracking plan or version"


class PlanExists(Conflict):
    code = "tracking_plan_exists"
    title = "A tracking plan of that id exists"


class PlanRefused(Invalid):
    code = "invalid_tracking_plan"
    title = "The tracking plan can't stand"


class PlanChanged(PreconditionFailed):
    code = "tracking_plan_changed"
    title = "The tracking plan has another version by now"


class DebuggerBusy(TooManyRequests):
    code = "too_many_watchers"
    title = "Too many are watching"


class ImportNotFound(NotFound):
    code = "import_not_found"
    title = "There is no such import"


class ImportFileUnreadable(Invalid):
    """Nothing was imported."""

    code = "import_file_unreadable"
    title = "The file can't be imported"


class ImportMappingInvalid(Invalid):
    """Nothing was imported."""

    code = "import_mapping_invalid"
    title = "The mapping doesn't fit"


class ImportFileTooLarge(PayloadTooLarge):
    code = "import_file_too_large"
    title = "The file is too large"

    def __init__(self, max_bytes: int, how: str = "as sent", *, is_cut: bool = False) -> None:
        super().__init__(
            f"The file, {how}, is larger than {max_bytes} bytes, as much as this server takes (INGEST_IMPORT_MAX_BYTES).",
            headers={"Connection": "close"} if is_cut else None,
        )


class ImportBusy(TooManyRequests):
    code = "import_busy"
    title = "Too many files at once"

    def __init__(self) -> None:
        super().__init__("Other files are being received. Send it again.", headers={"Retry-After": "5"})


class ImportStateConflict(Conflict):
    code = "import_state"
    title = "The import's state doesn't allow it"


class ImportFailsThroughout(Invalid):
    """The job stopped itself: going on would only make the list of errors longer."""

    code = "import_fails_throughout"
    title = "Nearly every row fails"


class ImportSourceUnusable(Invalid):
    code = "import_source_unusable"
    title = "The source can't take an import"
