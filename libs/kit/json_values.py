"""Which decoded JSON can be stored and read by everybody: PostgreSQL takes no NUL, UTF-8 no lone surrogate, a double no 1e400."""

import math
import re
from typing import Final

DEPTH: Final = 64
_MOST: Final = 2**1024
_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


def find_fault(value: object) -> str | None:
    """What is wrong with it, in words to be shown: they hold nothing of the value. None where all is well."""
    layer = [value]
    for _ in range(DEPTH + 1):
        below: list[object] = []
        for one in layer:
            if isinstance(one, dict):
                if any(_is_unstorable(name) for name in one):
                    return "holds a NUL or half of a character"
                below.extend(one.values())
            elif isinstance(one, list):
                below.extend(one)
            elif isinstance(one, str) and _is_unstorable(one):
                return "holds a NUL or half of a character"
            elif (isinstance(one, float) and not math.isfinite(one)) or (isinstance(one, int) and abs(one) >= _MOST):
                return "holds a number that is not finite"
        if not below:
            return None
        layer = below
    return f"is nested deeper than {DEPTH} levels"


def _is_unstorable(text: object) -> bool:
    return isinstance(text, str) and (("\0" in text) if text.isascii() else _UNSTORABLE.search(text) is not None)
