"""What callers of the segmentation API are told."""

from libs.kit.errors import Conflict, Invalid, NotFound, PayloadTooLarge, PreconditionFailed


class SegmentNotFound(NotFound):
    code = "segment_not_found"
    title = "No such segment"


class SegmentExists(Conflict):
    code = "segment_exists"
    title = "A segment with this id exists"


class SegmentInUse(Conflict):
    code = "segment_in_use"
    title = "Other segments build on this one"


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
