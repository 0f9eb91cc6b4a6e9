"""Which properties of a touchpoint are money, by the field's standard vocabulary."""

from typing import Final

MONEY_PROPERTIES: Final = ("revenue", "total", "subtotal", "tax", "shipping", "discount", "value", "price")
