"""What the profile service's callers are told."""

from typing import ClassVar

from libs.kit.errors import Conflict, Internal, Invalid, NotFound


class ProfileNotFound(NotFound):
    """Nobody answers to the reference, or it is no reference at all."""

    code: ClassVar[str] = "profile_not_found"
    title: ClassVar[str] = "No such profile"


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
