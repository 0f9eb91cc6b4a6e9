"""Search over HTTP: names with slips, and other orders than by id, page by page."""

from typing import Any

from services.profile.domain.search import SORTED_MAX
from tests.integration.profile.driving import make_identify, make_order, make_touchpoint
from tests.integration.profile.running import Service

PEOPLE = {"u1": ("John", "Smith"), "u2": ("Joan", "Smithe"), "u3": ("Ada", "Lovelace"), "u4": ("Zoe", "Adams")}


async def fill(service: Service) -> None:
    told = [
        make_identify(n, key, firstName=first, lastName=last, country="DE")
        for n, (key, (first, last)) in enumerate(PEOPLE.items())
    ]
    orders = [make_order(10 + n, f"u{1 + n}", order_id=f"o{n}", amount=str(10 * (n % 3))) for n in range(4)]
    await service.send(*told, *orders, make_touchpoint(50, "u9"))
    await service.view("user_id:u9", make_touchpoint(50))


async def names(service: Service, *, limit: int = 50, **query: Any) -> list[str]:
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = await service.get("/v1/profiles", limit=limit, **query, **cursor)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [item["traits"].get("first_name", "?") for item in page["items"]]
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def test_a_name_is_found_in_spite_of_slips_only_where_that_is_asked_for(service: Service) -> None:
    await fill(service)
    assert await names(service, q="jonh smiht") == []
    assert await names(service, q="jonh smiht", fuzzy=True) == ["John"]
    assert sorted(await names(service, q="smithe", fuzzy=True)) == ["Joan", "John"]
    assert await names(service, q="smiht", fuzzy=True, **{"trait.country": "DE"}) == ["John"]
    assert await names(service, q="smiht", fuzzy=True, **{"trait.country": "FR"}) == []


async def test_everybody_with_a_name_is_listed_in_its_order(service: Service) -> None:
    await fill(service)
    in_order = ["Zoe", "Ada", "John", "Joan"]
    for limit in (1, 3, 50):
        assert await names(service, sort="name", limit=limit) == in_order
        assert await names(service, sort="-name", limit=limit) == in_order[::-1]


async def test_matches_are_sorted_by_what_moves_page_by_page(service: Service) -> None:
    await fill(service)
    wanted = {"trait.country": "DE"}
    for limit in (1, 2, 50):
        assert await names(service, sort="last_seen_at", limit=limit, **wanted) == ["John", "Joan", "Ada", "Zoe"]
        assert await names(service, sort="-first_seen_at", limit=limit, **wanted) == ["Zoe", "Ada", "Joan", "John"]
        assert (await names(service, sort="-net.EUR", limit=limit, **wanted))[:2] == ["Ada", "Joan"]
        assert await names(service, sort="name", limit=limit, q="smith") == ["John", "Joan"]
        assert len(await names(service, sort="orders", limit=limit, **wanted)) == 4


async def test_what_is_no_order_and_too_many_to_sort_are_said(service: Service) -> None:
    await fill(service)
    for query in ({"sort": "shoe_size"}, {"sort": "-last_seen_at"}, {"sort": "net.eur", "q": "ada"}):
        assert (await service.get("/v1/profiles", **query)).status_code == 422
    other = (await service.get("/v1/profiles", sort="name", limit=1)).json()["next_cursor"]
    assert (await service.get("/v1/profiles", cursor=other)).status_code in (400, 422)
    async with service.database.connection() as connection:
        await connection.execute(
            "INSERT INTO trait_keys SELECT gen_random_uuid(), keys FROM"
            " (SELECT keys FROM trait_keys LIMIT 1) k, generate_series(1, $1::int)",
            SORTED_MAX,
        )
    answer = await service.get("/v1/profiles", sort="-last_seen_at", **{"trait.country": "DE"})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_to_sort")


async def test_names_are_written_only_when_they_change(service: Service) -> None:
    await fill(service)

    async def written() -> str:
        async with service.database.connection() as connection:
            found: str = await connection.fetchval("SELECT string_agg(xmin::text, ',' ORDER BY profile_id) FROM names")
            return found

    before = await written()
    plan = make_identify(60, "u1", plan="gold")
    await service.send(plan)
    await service.view("user_id:u1", plan)
    assert await written() == before
    married = make_identify(61, "u1", lastName="Byron")
    await service.send(married)
    await service.view("user_id:u1", married)
    assert await written() != before
    assert await names(service, q="smith") == ["Joan"]
    gone = make_identify(62, "u1", lastName=None, firstName=None)
    await service.send(gone)
    await service.view("user_id:u1", gone)
    assert await names(service, q="byron") == []
