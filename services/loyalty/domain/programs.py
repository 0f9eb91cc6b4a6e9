"""Programs as data: what earns points, and in which currencies. Decides nothing about who holds them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """An earning rule: one point per whole `minor_per_point` of an order's revenue net of its refunds.

    `currencies` maps the ISO 4217 codes that earn to the minor units one point costs; other currencies earn nothing.
    """

    id: str
    name: str
    currencies: dict[str, int]


DEFAULT_PROGRAM = Program(id="default", name="Points", currencies={"EUR": 100, "USD": 100, "GBP": 100})
