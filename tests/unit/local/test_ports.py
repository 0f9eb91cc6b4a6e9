from deploy.local.ports import ANY_FREE, choose_port


def choose(*preferred: int, free: set[int], taken: tuple[int, ...] = (), given: tuple[int, ...] = (50_000, 50_001)) -> int:
    supply = iter(given)
    return choose_port(*preferred, taken=taken, is_free=free.__contains__, find_free=lambda: next(supply))


def test_the_usual_port_is_taken_when_it_is_free() -> None:
    assert choose(9092, free={9092}) == 9092


def test_the_next_wish_counts_when_the_first_port_is_taken() -> None:
    assert choose(9092, 19092, free={19092}) == 19092


def test_any_free_port_does_when_no_wish_comes_true() -> None:
    assert choose(9092, free=set()) == 50_000


def test_zero_ends_the_wishes() -> None:
    assert choose(ANY_FREE, 9092, free={9092}) == 50_000


def test_a_port_promised_to_another_part_is_left_alone_however_it_comes_up() -> None:
    assert choose(9092, free={9092}, taken=(9092, 50_000)) == 50_001
