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
    """More waits to be acknowledged than this process may hold."""

    code = "overloaded"
    title = "Too much at once"

    def __init__(self) -> None:
        super().__init__("More is waiting to be stored than this server holds. Send it again.", headers={"Retry-After": "1"})


class BrokerAway(Unavailable):
    """Nothing was taken: sending the same again is safe and needed."""

    code = "broker_away"
    title = "The log can't take touchpoints right now"

    def __init__(self) -> None:
        super().__init__("The touchpoints couldn't be stored. Send them again.")


class SourceNotFound(NotFound):
    code = "source_not_found"
    title = "There is no such source"


class SourceExists(Conflict):
    code = "source_exists"
    title = "A source of that id exists"


class KeyNotFound(NotFound):
    code = "key_not_found"
    title = "There is no such active key"


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
