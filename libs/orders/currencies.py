"""Which currencies exist and how many decimals they have, by ISO 4217."""

from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, ROUND_HALF_EVEN, Context, Decimal
from typing import Final

from iso4217 import Currency

# Codes without a minor unit (gold, special drawing rights, XXX) are counted in hundredths, as the CLDR shows them.
_DEFAULT_EXPONENT: Final = 2
_EXPONENTS: Final[dict[str, int]] = {
    currency.code: _DEFAULT_EXPONENT if currency.exponent is None else currency.exponent for currency in Currency
}
_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN, rounding=ROUND_HALF_EVEN)

MAX_AMOUNT: Final = Decimal(10) ** 13
"""Amounts at or above this are no money: ingest rejects them, so that sums fit PostgreSQL's bigint even at four decimals."""


def is_currency(code: str) -> bool:
    """Whether ISO 4217 lists the code today. Upper case only: repairing is ingest's."""
    return code in _EXPONENTS


def exponent_of(code: str) -> int:
    """Decimals of the minor unit: EUR 2, JPY 0, KWD 3. A code that ISO has withdrawn since it was accepted keeps two."""
    return _EXPONENTS.get(code, _DEFAULT_EXPONENT)


def to_minor(amount: Decimal, currency: str) -> int:
    """An exact decimal in minor units, rounded once, half to even."""
    return int(amount.scaleb(exponent_of(currency), _EXACT).to_integral_value(ROUND_HALF_EVEN, _EXACT))


def from_minor(amount_minor: int, currency: str) -> Decimal:
    """Minor units as an exact decimal."""
    return Decimal(amount_minor).scaleb(-exponent_of(currency), _EXACT)
