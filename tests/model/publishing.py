"""Publishing through the outbox: a row is gone only when what was published is what is so."""

from collections.abc import Sequence
from dataclasses import replace

from tests.model.engine import Steps, Transaction, in_transaction
from tests.model.rows import describe
from tests.model.world import Profile, Record, World


def _current(world: World, record: Record) -> Record:
    """The record as the database would tell it now, with the touchpoints of the old one."""
    row: Profile = world.database.rows["profile", record.profile]
    return describe(Transaction(world.database), record.profile, row, record.applied)


def publish(world: World, staged: int, records: Sequence[Record] | None) -> Steps[None]:
    """Publish one outbox row: own records as committed; after a crash (`records` None) what is current now."""
    return (yield from in_transaction(world.database, lambda tx: _publish_row(world, tx, staged, records)))


def _publish_row(world: World, tx: Transaction, staged: int, records: Sequence[Record] | None) -> Steps[None]:
    row = ("outbox", staged)
    if world.rules.hold_while_publishing and not tx.try_lock(row):
        return
    stored: tuple[Record, ...] | None = tx.read(row)
    if stored is None:
        return
    pending = list(records if records is not None else map(lambda record: _rebuild(world, record), stored))  # noqa: C417
    yield
    while pending:
        yield from append(world, pending)
        if not world.rules.compare_after_publish:
            break
        pending = [_current(world, one) for one in pending if world.database.rows["profile", one.profile].version > one.version]
        yield
    yield from tx.write(row, None)
    tx.commit()


def _rebuild(world: World, record: Record) -> Record:
    current = _current(world, record)
    return current if world.rules.number_fits_content else replace(current, version=record.version)


def append(world: World, records: Sequence[Record]) -> Steps[None]:
    for record in records:
        yield  # sent, not yet in the log: a kill here loses it
        world.changes.records.append(record)
        yield  # in the log, not yet acknowledged


def sweep(world: World) -> Steps[None]:
    """What every worker does at its start and every few seconds: look for rows that somebody left."""
    for _, staged in sorted(world.database.committed("outbox")):
        yield from publish(world, staged, None)  # type: ignore[arg-type]
