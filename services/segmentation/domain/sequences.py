"""Did the touchpoints come in this order? Any choice that fits makes it true."""

from collections.abc import Iterable, Sequence

Order = tuple[int, int]


def is_sequence(steps: Sequence[Iterable[Order]], within_us: Sequence[int | None], without: Iterable[Order] = ()) -> bool:
    """Whether one touchpoint of each step can be chosen, strictly increasing in (t, id), each at most its `within_us` after
    the one before, with none of `without` strictly between the first and the last, those chosen excepted.

    One pass: of all partial choices of a length only the one with the latest last step matters, for a later start of the
    next wait never hurts. A touchpoint of `without` ends every partial choice that doesn't take it as a step.
    """
    matching: dict[Order, set[int]] = {}
    for number, orders in enumerate(steps):
        for order in orders:
            matching.setdefault(order, set()).add(number)
    forbidden = set(without)
    last: list[Order | None] = [None] * len(steps)
    for order in sorted(matching.keys() | forbidden):
        taken: list[int] = []
        for number in sorted(matching.get(order, ()), reverse=True):
            before = last[number - 1] if number else None
            limit = within_us[number]
            if number == 0 or (before is not None and (limit is None or order[0] - before[0] <= limit)):
                taken.append(number)
        if taken and taken[0] == len(steps) - 1:
            return True
        if order in forbidden:
            last = [None] * len(steps)
        for number in taken:
            last[number] = order
    return False
