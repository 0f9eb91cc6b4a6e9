"""What callers of the segmentation API are told."""

from libs.kit.errors import (
    Conflict,
    Invalid,
    NotFound,
    PayloadTooLarge,
    PreconditionFailed,
    TooManyRequests,
    Unavailable,
)


class SegmentNotFound(NotFound):
    code = "segment_not_found"
    title = "No such segment"


class SegmentExists(Conflict):
    code = "segment_exists"
    title = "A segment with this id exists"


class SegmentIdReserved(Invalid):
    code = "segment_id_reserved"
    title = "The id has another meaning in addresses"


class SegmentInUse(Conflict):
    code = "segment_in_use"
    title = "Other segments build on this one"


class FillStopping(Conflict):
    code = "fill_stopping"
    title = "The back-fill is about to stop"


class ListNotFound(NotFound):
    code = "list_not_found"
    title = "No such list"


class ListExists(Conflict):
    code = "list_exists"
    title = "A list with this id exists"


class ListInUse(Conflict):
    code = "list_in_use"
    title = "Segments build on this list"


class ListFileTooLarge(PayloadTooLarge):
    code = "list_file_too_large"
    title = "The file is too large"


class ListFileUnreadable(Invalid):
    code = "list_file_unreadable"
    title = "No line of the file names a customer"


class RuleInvalid(Invalid):
    code = "rule_invalid"
    title = "The rule isn't valid"


class RuleCyclic(Invalid):
    code = "rule_cyclic"
    title = "The rule would build on itself"


class InstantAhead(Invalid):
    code = "instant_ahead"
    title = "Memberships can be asked for up to now"


class VersionConflict(PreconditionFailed):
    code = "version_conflict"
    title = "The segment was changed meanwhile"


class TooManyWebhooks(Conflict):
    code = "too_many_webhooks"
    title = "There are as many webhooks as there may be"


class WebhookNotFound(NotFound):
    code = "webhook_not_found"
    title = "No such webhook"


class WebhookUrlRefused(Invalid):
    code = "webhook_url_refused"
    title = "Nothing is sent to this address"


class ExportNotFound(NotFound):
    code = "export_not_found"
    title = "No such export"


class ExportFailed(Conflict):
    code = "export_failed"
    title = "The members can't be written"


class ExportTooLarge(Conflict):
    code = "export_too_large"
    title = "There are too many members to post"


class ExportNotTaken(Unavailable):
    code = "export_not_taken"
    title = "The receiver didn't take the members"


class PastNotRecountable(Invalid):
    code = "past_not_recountable"
    title = "The rule looks at values whose past isn't kept"


class TooManyStreams(TooManyRequests):
    code = "too_many_streams"
    title = "Too many streams at once"
