"""An installation is made with one identity key and one version of the identity rules, for ever: both decide every fragment id.

Checked when a process starts, before anything is folded under another id.
"""

from typing import TYPE_CHECKING

import asyncpg

from libs.kit.errors import ConfigurationRefused

if TYPE_CHECKING:
    from libs.kit.db import Tx


class IdentityMismatch(ConfigurationRefused):
    """The database belongs to another key or other rules: going on would split every customer in two."""


async def check_installation(tx: "Tx", *, key_fingerprint: str, identity_version: int) -> None:
    """Remember both at the first start; refuse to run with others later. Safe from several at once.

    Raises IdentityMismatch, or ConfigurationRefused where nothing was migrated yet.
    """
    try:
        await tx.execute(
            """
            INSERT INTO access.installation (identity_key_fingerprint, identity_version) VALUES ($1, $2)
            ON CONFLICT ("only") DO NOTHING
            """,
            key_fingerprint,
            identity_version,
        )
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError) as error:
        raise ConfigurationRefused("The database has no tables yet: run `rapport migrate`.") from error
    row = await tx.fetchrow("SELECT identity_key_fingerprint, identity_version FROM access.installation")
    if row is None:
        raise IdentityMismatch("The installation's record can't be read: run `rapport migrate`.")
    if row["identity_key_fingerprint"] != key_fingerprint:
        raise IdentityMismatch(
            f"This database was made with identity key {row['identity_key_fingerprint']}, but this process has "
            f"{key_fingerprint}. Restore that key (RAPPORT_IDENTITY_KEY, or identity.key in RAPPORT_HOME, from the backup "
            "that goes with the database), or start with an empty database."
        )
    if row["identity_version"] != identity_version:
        raise IdentityMismatch(
            f"This database was made with identity rules version {row['identity_version']}, but this program has version "
            f"{identity_version}. Run the release that fits, or import into an empty database."
        )
