"""The installation's identity key and the fragment ids made with it.

The key is made at first start and never rotated: with another key every identifier would be another fragment.
"""

import contextlib
import os
import secrets
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Final
from uuid import UUID

from libs.kit.ids import make_uuid8

KEY_FILE: Final = "identity.key"
KEY_BYTES: Final = 32
_MIN_KEY_BYTES: Final = 16
_MAX_KEY_BYTES: Final = 64  # blake2b's own limit
_CACHED_FRAGMENTS: Final = 131_072


class IdentityKeyInvalid(ValueError):
    """The key is not 16 to 64 bytes in hexadecimal digits. The message never holds the key."""


class IdentityKey:
    """A secret that turns identifier values into fragment ids, so that topics and commands can name people without naming them.

    `fingerprint` tells keys apart without revealing them (32 hexadecimal digits); it is stored beside the data at install.
    """

    __slots__ = ("_begun", "_cached", "fingerprint")

    def __init__(self, key: bytes) -> None:
        if not _MIN_KEY_BYTES <= len(key) <= _MAX_KEY_BYTES:
            raise IdentityKeyInvalid(f"an identity key has {_MIN_KEY_BYTES} to {_MAX_KEY_BYTES} bytes, this one has {len(key)}")
        self.fingerprint: str = blake2b(b"rapport", digest_size=16, key=key, person=b"fingerprint").hexdigest()

        begun = self._begun = _begin_fragment(key)

        @lru_cache(maxsize=_CACHED_FRAGMENTS)
        def cached(kind: str, value: str, epoch: int) -> UUID:
            return _hash_fragment(begun, kind, value, epoch)

        self._cached = cached

    @classmethod
    def from_hex(cls, text: str) -> "IdentityKey":
        """The key as written in `RAPPORT_IDENTITY_KEY` or the key file; raises IdentityKeyInvalid."""
        try:
            key = bytes.fromhex(text.strip())
        except ValueError:
            # The cause would quote a part of the secret.
            raise IdentityKeyInvalid("an identity key is written in hexadecimal digits") from None
        return cls(key)

    def fragment_id(self, kind: str, value: str, epoch: int = 0) -> UUID:
        """The id of an identifier's fragment. `value` must be normalised; ids lately asked for are remembered."""
        return self._cached(kind, value, epoch)

    def work_out_fragment_id(self, kind: str, value: str) -> UUID:
        """The same, of epoch 0, without remembering it: for those who remember what they make of it."""
        return _hash_fragment(self._begun, kind, value, 0)

    def __repr__(self) -> str:
        return f"IdentityKey(fingerprint={self.fingerprint})"


def compute_fragment_id(key: bytes, kind: str, value: str, epoch: int) -> UUID:
    """UUIDv8 of the keyed BLAKE2b of (epoch, kind, value), 128 bits.

    Epoch and the kind's length have fixed widths, so no two different triples are hashed alike.
    """
    return _hash_fragment(_begin_fragment(key), kind, value, epoch)


def _begin_fragment(key: bytes) -> blake2b:
    """The hash with nothing but the key in it: taking that in is half the work, and the same for all."""
    return blake2b(digest_size=16, key=key, person=b"fragment")


def _hash_fragment(begun: blake2b, kind: str, value: str, epoch: int) -> UUID:
    kind_bytes = kind.encode()
    hashed = begun.copy()
    hashed.update(b"%b%b%b%b" % (epoch.to_bytes(4, "big"), len(kind_bytes).to_bytes(2, "big"), kind_bytes, value.encode()))
    return make_uuid8(hashed.digest())


def load_or_create_key(
    home: Path, env_value: str | None, *, entropy: Callable[[int], bytes] = secrets.token_bytes
) -> IdentityKey:
    """The key in `env_value` (it wins), else the one in `home/identity.key`, which is made where it is missing.

    Two processes that start at once get the same key: the file appears complete or not at all, and the first one stands.
    Raises IdentityKeyInvalid (what is stored is no key) or OSError.
    """
    if env_value:
        return IdentityKey.from_hex(env_value)
    path = home / KEY_FILE
    if not path.exists():
        _create_key_file(path, entropy)
    return IdentityKey.from_hex(path.read_text(encoding="ascii", errors="replace"))


def _create_key_file(path: Path, entropy: Callable[[int], bytes]) -> None:
    """Steps in this order: (1) the whole key on disk under a name of our own; (2) a hard link gives it the real name, and
    fails where another process came first; (3) the folder on disk, so that the name outlives a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{KEY_FILE}.{os.getpid()}.{entropy(4).hex()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(entropy(KEY_BYTES).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
