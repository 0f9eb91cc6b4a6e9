"""What one evaluation of somebody's JMESPath expression may cost: steps, and the size of what its steps read and make.

JMESPath has no loops, but pipes multiply: each `[@, @][]` doubles what it sees. Sizes are judged before the work is done.
"""

from collections.abc import Callable
from decimal import Decimal
from numbers import Number
from typing import Any, Final

from jmespath import Options
from jmespath.functions import Functions
from jmespath.visitor import TreeInterpreter

MAX_STEPS: Final = 20_000
MAX_SIZE: Final = 4_000_000
"""Characters, and `_VALUE` for each value: enough to read the largest body once and to write it."""
MAX_NODES: Final = 400
MAX_DEPTH: Final = 60
_VALUE: Final = 4
_FREE: Final = frozenset({"length", "type", "not_null", "to_array", "lookup", "starts_with", "ends_with", "abs", "ceil", "floor"})
"""Functions whose work doesn't grow with their arguments."""
_EQUALITY: Final = frozenset({"eq", "ne"})
_REPEATING: Final = frozenset({"multi_select_list", "multi_select_dict", "literal", "function_expression"})
"""Nodes that can place one value more than once: written out it may be much larger than it is in memory."""


class BudgetExceeded(RuntimeError):
    """An expression takes more steps, or makes more, than one evaluation may."""


def find_excess(tree: Any) -> str | None:
    """What a compiled expression has too much of."""
    waiting, count = [(tree, 1)], 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        if count > MAX_NODES:
            return f"an expression has at most {MAX_NODES} parts"
        if depth > MAX_DEPTH:
            return f"an expression is at most {MAX_DEPTH} levels deep"
        waiting.extend((child, depth + 1) for child in node["children"] if isinstance(child, dict))
    return None


def is_repeating(tree: Any) -> bool:
    """Whether a value may stand in the result more than once. `tree` is one in which `find_excess` found nothing."""
    return tree["type"] in _REPEATING or any(is_repeating(child) for child in tree["children"] if isinstance(child, dict))


def measure(value: object, limit: int) -> int:
    """The size of a value written out, one that is in it twice counted twice. Stops soon after `limit`."""
    size, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        size += _VALUE
        if isinstance(one, str):
            size += len(one)
        elif isinstance(one, list | dict):
            # Judged before they are put in line: many large lists in one would fill the memory.
            size += _VALUE * len(one)
            if size <= limit:
                waiting.extend(one if isinstance(one, list) else [*one, *one.values()])
        elif isinstance(one, int | Decimal):
            size += len(str(one))
        if size > limit:
            break
    return size


class MeteredInterpreter(TreeInterpreter):
    """Evaluates one expression once. Raises BudgetExceeded beside what the interpreter raises."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._functions = options.custom_functions or Functions()
        self._steps = MAX_STEPS
        self._size = MAX_SIZE

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._steps -= 1
        if self._steps < 0:
            raise BudgetExceeded
        return _METHODS[node["type"]](self, node, *args, **kwargs)

    def spend(self, size: int) -> None:
        self._size -= size
        if self._size < 0:
            raise BudgetExceeded

    def spend_written(self, value: object) -> None:
        self.spend(measure(value, self._size))

    def visit_comparator(self, node: Any, value: Any) -> Any:
        left, right = self.visit(node["children"][0], value), self.visit(node["children"][1], value)
        if type(left) is type(right):
            if isinstance(left, str):
                self.spend(min(len(left), len(right)))
            elif isinstance(left, list | dict) and len(left) == len(right):
                self.spend_written(left)
        if node["value"] in _EQUALITY or (_is_ordered(left) and _is_ordered(right)):
            return self.COMPARATOR_FUNC[node["value"]](left, right)
        return None

    def visit_flatten(self, node: Any, value: Any) -> Any:
        base = self.visit(node["children"][0], value)
        if not isinstance(base, list):
            return None
        self.spend(_VALUE * sum(len(one) if isinstance(one, list) else 1 for one in base))
        merged: list[Any] = []
        for one in base:
            if isinstance(one, list):
                merged.extend(one)
            else:
                merged.append(one)
        return merged

    def visit_slice(self, node: Any, value: Any) -> Any:
        if isinstance(value, list):
            self.spend(_VALUE * len(value))
        return super().visit_slice(node, value)

    def visit_function_expression(self, node: Any, value: Any) -> Any:
        name = node["value"]
        arguments = [self.visit(child, value) for child in node["children"]]
        if name in _FREE:
            return self._functions.call_function(name, arguments)
        self._spend_arguments(name, arguments)
        result = self._functions.call_function(name, arguments)
        self.spend(_size_of(result))
        return result

    def _spend_arguments(self, name: str, arguments: list[Any]) -> None:
        self.spend(sum(map(_size_of, arguments)))
        match name, arguments:
            case "to_string", [list() | dict() as written]:
                self.spend_written(written)
            case "join", [str() as separator, list() as texts]:
                self.spend(len(separator) * len(texts) + sum(len(text) for text in texts if isinstance(text, str)))
            case "contains", [list() as values, sought]:
                self.spend(len(values) * measure(sought, self._size))
            case _:
                pass


def _is_ordered(value: object) -> bool:
    return isinstance(value, str | Number) and not isinstance(value, bool)


def _size_of(value: object) -> int:
    """Of a value alone, without what is in it."""
    return len(value) if isinstance(value, str) else _VALUE * len(value) if isinstance(value, list | dict) else 0


_METHODS: Final[dict[str, Callable[..., Any]]] = {
    name.removeprefix("visit_"): getattr(MeteredInterpreter, name)
    for name in dir(MeteredInterpreter)
    if name.startswith("visit_")
}
"""Looked up once: the base class does it anew for each evaluation."""
