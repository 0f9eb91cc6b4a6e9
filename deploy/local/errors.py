"""What can go wrong while the local stack starts: one line and a hint, both meant for a person."""


class LocalStackError(Exception):
    """`detail` says what happened, `hint` what to do about it."""

    def __init__(self, detail: str, *, hint: str = "") -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint


class PartMissing(LocalStackError):
    """A program that a part is made of is nowhere to be found."""


class PartFailed(LocalStackError):
    """A part's process ended, or didn't answer in time."""


class StartGivenUp(LocalStackError):
    """The stack was told to end while this part was still starting."""


class PortTaken(LocalStackError):
    """A port that must be this very one isn't free."""


class HomeUnusable(LocalStackError):
    """The home can't be made, or nothing can be written there."""


class HomeInUse(LocalStackError):
    """Another process already runs a stack in this home."""
