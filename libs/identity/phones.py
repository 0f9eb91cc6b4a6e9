"""Phone numbers in E.164. Part of an installation's identity: what this gives for a number may never change."""

import re
from functools import cache, lru_cache
from typing import Final

import phonenumbers

_CACHE_SIZE: Final = 65_536  # phonenumbers takes some 60 us for a number
_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_LONGEST_CALLING_CODE: Final = 3


@lru_cache(maxsize=_CACHE_SIZE)
def normalise_phone(text: str, region: str) -> str:
    """E.164 where the number is valid (a national one by `region`), else its digits, with the leading plus if sent."""
    return text if is_valid_e164(text) else normalise_fully(text, region)


def normalise_fully(text: str, region: str) -> str:
    """The digits alone are tried too, so that a second pass cannot find what the first one missed."""
    digits = "".join(str(int(char)) for char in text if char.isdecimal())
    if text.startswith(("+", "\uff0b")):
        digits = f"+{digits}"
    for candidate in (text, digits):
        number = _parse(candidate, region)
        if number is not None:
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return digits


def is_valid_e164(text: str) -> bool:
    """Whether it is a valid number in its normal form already: a short way to yes for what most systems store.

    Parsing it would give the very number it says: a calling code, and behind it nothing that could be a prefix to drop.
    """
    if _E164.fullmatch(text) is None:
        return False
    for length in range(1, _LONGEST_CALLING_CODE + 1):
        code, national = int(text[1 : length + 1]), text[length + 1 :]
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            prefix = _find_national_prefix(code)
            if national.startswith("0") or (prefix is not None and prefix.match(national)):
                return False
            return bool(phonenumbers.is_valid_number(phonenumbers.PhoneNumber(country_code=code, national_number=int(national))))
    return False


@cache
def _find_national_prefix(code: int) -> re.Pattern[str] | None:
    """What numbers of a calling code may begin with at home and drop abroad."""
    region = phonenumbers.region_code_for_country_code(code)
    metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(code, region)
    prefix = None if metadata is None else metadata.national_prefix_for_parsing
    return re.compile(prefix) if prefix else None


def _parse(text: str, region: str) -> phonenumbers.PhoneNumber | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    return number if phonenumbers.is_valid_number(number) else None
