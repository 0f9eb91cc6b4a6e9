"""Sources and their write keys, for people who run them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from libs.kit.auth import Source
from services.ingest.errors import KeyNotFound, SourceExists, SourceNotFound
from services.ingest.ports import SourceStore, WriteKey

if TYPE_CHECKING:
    from libs.kit.db import Tx


async def create_source(tx: "Tx", store: SourceStore, source: Source) -> None:
    """Raises SourceExists."""
    if not await store.create(tx, source):
        raise SourceExists(f"There is a source `{source.id}` already.")


async def get_source(tx: "Tx", store: SourceStore, source_id: str) -> Source:
    """Raises SourceNotFound."""
    source = await store.find(tx, source_id)
    if source is None:
        raise SourceNotFound("There is no source of that id.")
    return source


async def change_source(tx: "Tx", store: SourceStore, source_id: str, changes: Mapping[str, Any]) -> Source:
    """The source with these fields changed. Raises SourceNotFound."""
    held = await store.lock(tx, source_id)
    if held is None:
        raise SourceNotFound("There is no source of that id.")
    source = replace(held, **changes)
    await store.save(tx, source)
    return source


async def list_keys(tx: "Tx", store: SourceStore, source_id: str) -> list[WriteKey]:
    """Raises SourceNotFound."""
    await get_source(tx, store, source_id)
    return await store.list_keys(tx, source_id)


async def revoke_key(tx: "Tx", store: SourceStore, source_id: str, key_id: str) -> None:
    """Raises KeyNotFound where the source has no such active key."""
    if await store.revoke_key(tx, source_id, key_id) is None:
        raise KeyNotFound("The source has no active key of that id.")


async def rotate_key(tx: "Tx", store: SourceStore, source_id: str, key_id: str, *, old_valid_for_s: int) -> tuple[str, WriteKey]:
    """A new key, and the old one with its end. Raises KeyNotFound where the source has no such active key."""
    old = await store.revoke_key(tx, source_id, key_id, after_s=old_valid_for_s)
    if old is None:
        raise KeyNotFound("The source has no active key of that id.")
    return await store.create_key(tx, source_id), old
