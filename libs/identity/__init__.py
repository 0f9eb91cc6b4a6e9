"""What identifies a customer: kinds, strength, normal forms, blocked values, fragment ids.

Fixed at install: a change of strength or of a normaliser gives values other fragments, so it raises `VERSION`.
"""

from libs.identity.checks import CheckDigit, has_wrong_check_digit
from libs.identity.keys import IdentityKey, IdentityKeyInvalid, load_or_create_key
from libs.identity.kinds import EXTERNAL, STRENGTH, VERSION, normalise_kind, strength_key, strength_of
from libs.identity.refs import RefMalformed, parse_ref
from libs.identity.values import is_blocked, normalise, repair_text, to_text

__all__ = [
    "EXTERNAL",
    "STRENGTH",
    "VERSION",
    "CheckDigit",
    "IdentityKey",
    "IdentityKeyInvalid",
    "RefMalformed",
    "has_wrong_check_digit",
    "is_blocked",
    "load_or_create_key",
    "normalise",
    "normalise_kind",
    "parse_ref",
    "repair_text",
    "strength_key",
    "strength_of",
    "to_text",
]
