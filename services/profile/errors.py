"""What the profile service's callers are told."""

from typing import ClassVar

from libs.kit.errors import Conflict, Forbidden, Internal, Invalid, NotFound, TooManyRequests, Unauthorized


class ProfileNotFound(NotFound):
    """Nobody answers to the reference, or it is no reference at all."""

    code: ClassVar[str] = "profile_not_found"
    title: ClassVar[str] = "No such profile"


class AccountNotFound(NotFound):
    """No group call has named an account of this id."""

    code: ClassVar[str] = "account_not_found"
    title: ClassVar[str] = "No such account"


class EditNotApplied(Internal):
    """The edit is in the log, and the profile service itself couldn't read it there."""

    code: ClassVar[str] = "edit_not_applied"
    title: ClassVar[str] = "The edit couldn't be applied"


class SameProfile(Conflict):
    """Both references lead to one profile: there is nothing to merge."""

    code: ClassVar[str] = "same_profile"
    title: ClassVar[str] = "Both are one profile already"


class MergeRefused(Conflict):
    """A rule of identity keeps the two apart: a limit of identifiers, or a device that nobody is to be linked with."""

    code: ClassVar[str] = "merge_refused"
    title: ClassVar[str] = "The profiles may not become one"


class IdentifiersBanned(Conflict):
    """An identifier of one profile was split from one of the other's, and the ban stands."""

    code: ClassVar[str] = "identifiers_banned"
    title: ClassVar[str] = "A ban keeps the profiles apart"


class IdentifierNotHeld(Invalid):
    """The profile has no such live identifier."""

    code: ClassVar[str] = "identifier_not_held"
    title: ClassVar[str] = "The profile doesn't have this identifier"


class OnlyIdentifier(Conflict):
    """There is no other live identifier to be split from."""

    code: ClassVar[str] = "only_identifier"
    title: ClassVar[str] = "The profile has no other identifier"


class BanNotFound(NotFound):
    """No ban in force has this id: it was lifted, or never was."""

    code: ClassVar[str] = "ban_not_found"
    title: ClassVar[str] = "No such ban"


class InvalidWriteKey(Unauthorized):
    """The write key is missing, unknown or revoked, or its source is disabled."""

    code: ClassVar[str] = "invalid_write_key"
    title: ClassVar[str] = "The write key isn't known"


class KeyNotForBrowsers(Forbidden):
    """The write key belongs to a source that is no website or app."""

    code: ClassVar[str] = "key_not_for_browsers"
    title: ClassVar[str] = "The key isn't a website's or an app's"


class OriginNotAllowed(Forbidden):
    """The website isn't among the origins of the key's source."""

    code: ClassVar[str] = "origin_not_allowed"
    title: ClassVar[str] = "This website may not use the key"


class VisitorIdGuessable(Invalid):
    """The anonymous id hasn't the form of at least 122 random bits, so that somebody else might guess it."""

    code: ClassVar[str] = "visitor_id_guessable"
    title: ClassVar[str] = "The anonymous id could be guessed"


class LeadStageUnknown(Invalid):
    """The installation's list of lead stages has none of this name."""

    code: ClassVar[str] = "lead_stage_unknown"
    title: ClassVar[str] = "No such lead stage"


class LeadMoveNotAllowed(Conflict):
    """A command may not move a lead from the stage it is in to this one; `errors` names those it may."""

    code: ClassVar[str] = "lead_move_not_allowed"
    title: ClassVar[str] = "The lead can't move there"


class TooManyToSort(Invalid):
    """More profiles match than are sorted by what moves with every touchpoint."""

    code: ClassVar[str] = "too_many_to_sort"
    title: ClassVar[str] = "Too many matches to sort"


class TooManyStreams(TooManyRequests):
    """As many streams of all views run in this process as it allows at once."""

    code: ClassVar[str] = "too_many_streams"
    title: ClassVar[str] = "Too many streams at once"
