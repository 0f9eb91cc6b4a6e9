import pytest

from libs.kit.auth import FixedAccess, Principal, Source, authorise, hash_key
from libs.kit.errors import Forbidden, Unauthorized

ACCESS = FixedAccess(
    sources={
        "w": Source("shop", "Shop", "web", verified=False),
        "off": Source("old", "Old", "web", verified=False, enabled=False),
    },
    principals={"k": Principal("crm", frozenset({"profiles:read"}))},
)


def test_a_scope_is_had_exactly_or_by_the_star() -> None:
    assert Principal("a", frozenset({"profiles:read"})).has("profiles:read")
    assert not Principal("a", frozenset({"profiles:read"})).has("profiles")
    assert not Principal("a", frozenset({"profiles:*"})).has("profiles:read")
    assert Principal("a", frozenset({"*"})).has("whatever")


@pytest.mark.parametrize("header", ["Bearer k", "bearer k", "BEARER   k "])
def test_the_key_of_a_bearer_header_is_found(header: str) -> None:
    assert authorise(ACCESS, header, "profiles:read").name == "crm"


def test_without_a_scope_any_key_will_do() -> None:
    assert authorise(ACCESS, "Bearer k", None).name == "crm"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "k", "Basic k", "Bearer K", "Bearer k k", "Bearer w"])
def test_anything_else_is_unauthorized(header: str | None) -> None:
    with pytest.raises(Unauthorized):
        authorise(ACCESS, header, None)


def test_the_missing_scope_is_named() -> None:
    with pytest.raises(Forbidden, match="privacy:erase"):
        authorise(ACCESS, "Bearer k", "privacy:erase")


def test_a_disabled_source_is_closed_but_known() -> None:
    assert ACCESS.source_for("off") is None
    assert ACCESS.find_source("off") is not None
    assert ACCESS.source_by_id("shop") is not None


def test_any_text_can_be_hashed() -> None:
    assert hash_key("\ud800") != hash_key("")
