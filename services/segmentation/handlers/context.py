"""What the handlers work with, and the definitions in force, parsed once a revision."""

from dataclasses import dataclass
from typing import Final

from libs.kit.clock import Clock
from libs.kit.db import Tx
from libs.kit.ids import IdFactory
from services.segmentation.domain.nodes import Rule
from services.segmentation.domain.parsing import parse_rule
from services.segmentation.domain.segments import Registry, Segment
from services.segmentation.domain.values import decode_json
from services.segmentation.ports import Behaviours, Definition, Definitions, Lists, Memberships, ViewHistory

NO_REVISION: Final = -1


class Registries:
    """The registry of the present revision. A process keeps the last one it read."""

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._last = Force(Registry((), NO_REVISION), {})

    async def hold(self, tx: Tx) -> "Force":
        """What is in force, and stays so until the transaction ends."""
        revision = await self._definitions.hold_revision(tx)
        is_current = self._last.registry.revision == revision
        if is_current and not self._last.filling:
            return self._last
        definitions = await self._definitions.load_all(tx)
        registry = self._last.registry if is_current else Registry(map(compile_definition, definitions), revision)
        filling = {definition.id: definition for definition in definitions if definition.state == "filling"}
        self._last = Force(registry, filling)
        return self._last


@dataclass(frozen=True, slots=True)
class Force:
    """Segments in force, and those of them that are being filled since their last change, as far as that is by now."""

    registry: Registry
    filling: dict[str, Definition]


@dataclass(frozen=True, slots=True)
class Segmentation:
    """What the handlers work with."""

    definitions: Definitions
    behaviours: Behaviours
    memberships: Memberships
    view_history: ViewHistory
    lists: Lists
    registries: Registries
    clock: Clock
    new_id: IdFactory


def compile_definition(definition: Definition) -> Segment:
    return Segment(definition.id, definition.name, definition.version, parse_stored(definition), definition.rule_version)


def parse_stored(definition: Definition) -> Rule:
    """A stored rule is a valid one: it was parsed before it was saved, and what parses once parses always."""
    rule, findings = parse_rule(decode_json(definition.rule.encode()))
    if rule is None:
        raise ValueError(f"segment {definition.id} can't be read: {findings.errors()}")
    return rule
