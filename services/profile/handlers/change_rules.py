"""The rules of identity: which are in force in this process, and changing them. A change binds only what is decided after it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from libs.kit.db import Tx
from libs.kit.errors import PreconditionFailed
from services.profile.domain.rules import INSTALLED, KindRules, Rules
from services.profile.ports import RulesStore, RulesVersion

AS_INSTALLED: Final = RulesVersion(0, INSTALLED)


@dataclass(slots=True)
class LiveRules:
    """What this process decides by. A batch or a command takes `in_force` once, and decides everything by that."""

    in_force: Rules = field(default_factory=Rules)

    async def refresh(self, tx: Tx, store: RulesStore) -> None:
        """Adopt what another process changed."""
        newest = await find_rules(tx, store)
        if newest.version != self.in_force.version:
            self.in_force = Rules(newest.kinds, newest.version)


async def find_rules(tx: Tx, store: RulesStore) -> RulesVersion:
    """The newest version; number 0 while nobody has changed anything."""
    return await store.find_newest(tx) or AS_INSTALLED


async def change_rules(
    tx: Tx, kinds: Mapping[str, KindRules], by: tuple[str, datetime], is_expected: Callable[[int], bool], store: RulesStore
) -> RulesVersion:
    """The next version; the same again makes none. `by`: who and when. Raises PreconditionFailed where another one came first."""
    await store.lock(tx)
    current = await find_rules(tx, store)
    if not is_expected(current.version):
        raise PreconditionFailed(f"The rules are of version {current.version} by now.", headers={"ETag": f'"{current.version}"'})
    if kinds == current.kinds:
        return current
    actor, at = by
    made = RulesVersion(current.version + 1, kinds, at, actor)
    await store.insert(tx, made)
    return made
