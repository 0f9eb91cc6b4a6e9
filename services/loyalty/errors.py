"""What callers of the points API are told."""

from libs.kit.errors import Conflict, NotFound


class InsufficientPointsError(Conflict):
    code = "insufficient_points"
    title = "Not enough points"


class ProgramNotFound(NotFound):
    code = "program_not_found"
    title = "No such program"
