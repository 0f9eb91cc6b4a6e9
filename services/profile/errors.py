"""What the profile service's callers are told."""

from typing import ClassVar

from libs.kit.errors import Internal, NotFound


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
