"""JMESPath expressions, with numbers that stay exact decimals and a few functions more."""

from decimal import Decimal
from typing import Any, Final

import jmespath
from jmespath import functions
from jmespath.exceptions import JMESPathError

from libs.kit.errors import FieldError
from services.ingest.domain.reasons import Refusal
from services.ingest.domain.webhooks.budgets import BudgetExceeded, MeteredInterpreter, find_excess, is_repeating
from services.ingest.domain.webhooks.payloads import read_json
from services.ingest.domain.webhooks.stripe import from_minor_units
from services.ingest.domain.webhooks.values import as_amount, as_object, as_text

MAX_CHARS: Final = 2000
EVALUATION_ERRORS: Final = (
    BudgetExceeded,
    JMESPathError,
    TypeError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    RecursionError,
)
"""What an expression may raise over values it wasn't written for."""


class _Functions(functions.Functions):
    """JMESPath's functions, exact about decimals, and some of ours."""

    def _convert_to_jmespath_type(self, pyobject: str) -> Any:
        return "number" if pyobject == "Decimal" else functions.TYPES_MAP.get(pyobject, "unknown")

    @functions.signature({"types": []})
    def _func_to_number(self, value: object) -> object:
        number = as_amount(value)
        return number if isinstance(number, int | Decimal) and not isinstance(number, bool) else None

    @functions.signature({"types": []})
    def _func_decimal(self, value: object) -> object:
        return as_amount(value)

    @functions.signature({"types": []}, {"types": []})
    def _func_minor(self, amount: object, currency: object) -> object:
        number = as_amount(amount)
        return from_minor_units(int(number) if isinstance(number, Decimal) and number == int(number) else number, currency)

    @functions.signature({"types": []})
    def _func_lower(self, value: object) -> str | None:
        text = as_text(value)
        return None if text is None else text.lower()

    @functions.signature({"types": []})
    def _func_upper(self, value: object) -> str | None:
        text = as_text(value)
        return None if text is None else text.upper()

    @functions.signature({"types": []})
    def _func_trim(self, value: object) -> str | None:
        text = as_text(value)
        return None if text is None else text.strip()

    @functions.signature({"types": []}, {"types": ["string"]})
    def _func_split(self, value: object, separator: str) -> list[str]:
        text = as_text(value)
        return [] if text is None else text.split(separator) if separator else [text]

    @functions.signature({"types": []}, {"types": []})
    def _func_lookup(self, value: object, name: object) -> object:
        return as_object(value).get(as_text(name) or "")

    @functions.signature({"types": []})
    def _func_parse_json(self, value: object) -> object:
        text = as_text(value)
        found = None if text is None else read_json(text.encode("utf-8", "replace"))
        return None if isinstance(found, Refusal) else found


_OPTIONS: Final = jmespath.Options(custom_functions=_Functions())


class Expression:
    """A compiled expression."""

    def __init__(self, text: str) -> None:
        """Raises JMESPathError, RecursionError or ValueError where the text is none."""
        self._tree: Any = jmespath.compile(text).parsed
        excess = find_excess(self._tree)
        if excess is not None:
            raise ValueError(excess)
        self._is_repeating = is_repeating(self._tree)

    def find(self, seen: object) -> Any:
        """Raises any of EVALUATION_ERRORS."""
        interpreter = MeteredInterpreter(_OPTIONS)
        found = interpreter.visit(self._tree, seen)
        if self._is_repeating and isinstance(found, list | dict):
            # Whoever hashes or writes it goes through all of it.
            interpreter.spend_written(found)
        return found


def compile_expression(place: str, text: str, errors: list[FieldError]) -> Expression | None:
    """None, and a word in `errors`, where it can't be compiled."""
    if len(text) > MAX_CHARS:
        errors.append(FieldError(place, f"an expression has at most {MAX_CHARS} characters"))
        return None
    try:
        return Expression(text)
    except (JMESPathError, RecursionError, ValueError) as error:
        errors.append(FieldError(place, f"no JMESPath expression: {(str(error).splitlines() or ['empty'])[0]}"))
        return None
