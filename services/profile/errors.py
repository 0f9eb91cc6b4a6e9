"""What the profile service's callers are told."""

from typing import ClassVar

from libs.kit.errors import NotFound


class ProfileNotFound(NotFound):
    """Nobody answers to the reference, or it is no reference at all."""

    code: ClassVar[str] = "profile_not_found"
    title: ClassVar[str] = "No such profile"
