"""What is wrong with a rule, and where. Collected, so that its author sees everything at once."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

Kind = Literal["invalid", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """`pointer` is a JSON Pointer within the rule. `unknown`: a name that nothing has carried yet; a warning, not an error."""

    pointer: str
    detail: str
    kind: Kind = "invalid"


@dataclass(slots=True)
class Findings:
    found: list[Finding] = field(default_factory=list)

    def add(self, pointer: str, detail: str, kind: Kind = "invalid") -> None:
        self.found.append(Finding(pointer, detail, kind))

    def errors(self) -> list[Finding]:
        return [finding for finding in self.found if finding.kind != "unknown"]


def point(pointer: str, *names: str | int) -> str:
    """A pointer one or more steps deeper (RFC 6901)."""
    return pointer + "".join("/" + str(name).replace("~", "~0").replace("/", "~1") for name in names)


def suggest(name: str, known: Iterable[str]) -> str:
    """`; did you mean "country"?`, or nothing where no known name is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.6) or get_close_matches(
        name.lower(), [other.lower() for other in known], n=1, cutoff=0.6
    )
    if not near:
        return ""
    spelled = next((other for other in known if other.lower() == near[0].lower()), near[0])
    return f'; did you mean "{spelled}"?'
