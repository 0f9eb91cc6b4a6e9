"""Check digits: a card number with a typing error is nobody's. They change no normal form, so rules may ask for them."""

from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

from stdnum import ean, luhn

CheckDigit = Literal["luhn", "ean"]
CHECK_DIGITS: Final[tuple[str, ...]] = get_args(CheckDigit)
_IS_VALID: Final[Mapping[CheckDigit, Callable[[str], bool]]] = {"luhn": luhn.is_valid, "ean": ean.is_valid}
_SEPARATORS: Final = str.maketrans("", "", " -")


def has_wrong_check_digit(value: str, scheme: CheckDigit) -> bool:
    """By Luhn (ISO/IEC 7812), or EAN and UPC (GS1). Spaces and hyphens apart; a text that is no number has none to be wrong."""
    digits = value.translate(_SEPARATORS)
    return digits.isascii() and digits.isdecimal() and not _IS_VALID[scheme](digits)
