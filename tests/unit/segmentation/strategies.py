"""Random rules and histories, small enough that they collide all the time."""

from typing import Any

from hypothesis import strategies as st

NAMES = ("A", "B", "C")
CHANNELS = ("web", "pos")
LATEST = 24

# Some seconds from the beginning of time, and days that return just before, on and after its first one.
dates = st.one_of(
    st.integers(0, LATEST + 9).map(lambda second: f"1970-01-01T00:00:{second:02d}+00:00"),
    st.sampled_from(["1969-01-01", "1960-01-02", "1968-12-31T23:00:00+00:00", "1970-01-01", "no date"]),
)
near_tests = st.one_of(
    st.tuples(st.sampled_from(["within_last", "within_next"]), st.integers(1, 30)),
    st.tuples(st.just("anniversary_within"), st.sampled_from([1, 86_390, 86_399, 90_010])),
).map(lambda pair: {pair[0]: f"PT{pair[1]}S"})
lines = st.fixed_dictionaries({}, optional={"category": st.sampled_from(["x", "y"]), "price": st.sampled_from([1, 2.5])})
properties = st.fixed_dictionaries(
    {},
    optional={
        "color": st.sampled_from(["red", "blue", 1, True, None]),
        "size": st.sampled_from([0.1, 0.2, 1, 2, "2"]),
        "revenue": st.sampled_from([0.1, 0.2, 10, 19.99]),
        "currency": st.sampled_from(["EUR", "USD"]),
        "products": st.lists(lines, max_size=2),
        "due": dates,
    },
)
touches = st.fixed_dictionaries(
    {
        "t": st.integers(0, LATEST),
        "name": st.sampled_from(NAMES),
        "channel": st.sampled_from(CHANNELS),
        "properties": properties,
    }
)
histories = st.lists(touches, max_size=9).map(lambda found: [{**one, "id": number} for number, one in enumerate(found)])
views = st.fixed_dictionaries(
    {
        "traits": st.fixed_dictionaries(
            {}, optional={"plan": st.sampled_from(["gold", "silver", 3, None, ["gold"]]), "born": dates}
        ),
        "aggregates": st.fixed_dictionaries(
            {"orders": st.fixed_dictionaries({"count": st.integers(0, 3)}, optional={"last_at": dates})}
        ),
    }
)

number_tests = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), st.integers(0, 3)),
    st.tuples(st.sampled_from(["in", "not_in"]), st.lists(st.integers(0, 3), min_size=1, max_size=2)),
).map(lambda pair: {pair[0]: pair[1]})
figure_tests = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]), st.sampled_from([0, 0.1, 0.3, 1, 10, 20.19, 30.1])),
    st.tuples(st.just("in"), st.just([0.3, 10.0, 0.15])),
).map(lambda pair: {pair[0]: pair[1]})
value_tests = (
    st.one_of(
        st.tuples(
            st.sampled_from(["eq", "ne", "gt", "lte", "contains"]), st.sampled_from(["red", "blue", "x", "gold", 1, 2, 2.5, True])
        ),
        st.tuples(st.sampled_from(["in", "not_in"]), st.just(["red", "x", 1, "gold"])),
        st.tuples(st.sampled_from(["starts_with", "ends_with"]), st.sampled_from(["r", "d", "g"])),
        st.tuples(st.just("exists"), st.booleans()),
    )
    .filter(lambda pair: not (pair[0] in ("gt", "lte") and pair[1] is True))
    .map(lambda pair: {pair[0]: pair[1]})
)

conditions: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.builds(
        lambda name, test: {"property": name, **test},
        st.sampled_from(["color", "size", "revenue", "products.*.category", "products.*.price"]),
        value_tests,
    )
    | near_tests.map(lambda test: {"property": "due", **test}),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"all": found}),
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"any": found}),
        inner.map(lambda found: {"not": found}),
    ),
    max_leaves=4,
)
plain_touches = st.fixed_dictionaries(
    {"did": st.sampled_from(NAMES)}, optional={"where": conditions, "channel": st.sampled_from(CHANNELS)}
)
windows = st.integers(1, 9).map(lambda number: f"PT{number}S")
figures = st.one_of(
    st.builds(lambda test: {"property": "size", **test}, figure_tests),
    st.builds(
        lambda currency, test: {"property": "revenue", "currency": currency, **test},
        st.sampled_from(["EUR", "USD"]),
        figure_tests,
    ),
)
spans = st.one_of(
    st.just({}),
    windows.map(lambda window: {"within": window}),
    st.tuples(st.integers(0, 12), st.integers(13, 26)).map(lambda ends: {"between": list(ends)}),
    plain_touches.map(lambda touch: {"since": touch}),
)
dids = st.builds(
    lambda touch, times, figure, span: {**touch, **times, **figure, **span},
    plain_touches,
    st.one_of(st.just({}), number_tests.map(lambda test: {"times": test})),
    st.one_of(
        st.just({}),
        st.tuples(st.sampled_from(["sum", "average", "min", "max"]), figures).map(lambda pair: {pair[0]: pair[1]}),
    ),
    spans,
)
steps = st.tuples(plain_touches, st.one_of(st.just({}), windows.map(lambda window: {"within": window})))
sequences = st.builds(
    lambda first, others, without: {"sequence": [first, *({**touch, **span} for touch, span in others)], **without},
    plain_touches,
    st.lists(steps, min_size=1, max_size=2),
    st.one_of(st.just({}), plain_touches.map(lambda touch: {"without": touch})),
)
leaves = st.one_of(
    dids,
    sequences,
    value_tests.map(lambda test: {"trait": "plan", **test}),
    number_tests.map(lambda test: {"view": "aggregates.orders.count", **test}),
    near_tests.map(lambda test: {"trait": "born", **test}),
    near_tests.map(lambda test: {"view": "aggregates.orders.last_at", **test}),
)
rules: st.SearchStrategy[dict[str, Any]] = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"all": found}),
        st.lists(inner, min_size=1, max_size=3).map(lambda found: {"any": found}),
        inner.map(lambda found: {"not": found}),
    ),
    max_leaves=4,
)


def spell_times(rule: Any) -> Any:
    """The reference counts seconds; our rules are written with times."""
    if isinstance(rule, list):
        return [spell_times(one) for one in rule]
    if not isinstance(rule, dict):
        return rule
    return {
        key: [f"1970-01-01T00:00:{second:02d}Z" for second in value] if key == "between" else spell_times(value)
        for key, value in rule.items()
    }
