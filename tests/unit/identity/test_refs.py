from uuid import UUID

import pytest

from libs.identity import RefMalformed, parse_ref

ID = "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


def test_a_ref_is_a_profile_id_or_an_identifier() -> None:
    assert parse_ref(ID) == UUID(ID)
    assert parse_ref(ID.upper()) == UUID(ID)
    assert parse_ref("email: Ada@Example.com ") == ("email", "ada@example.com")
    assert parse_ref("USER_ID:U1") == ("user_id", "U1")
    assert parse_ref("phone:0170 1234567") == ("phone", "+491701234567")
    assert parse_ref("phone:(415) 555-2671", region="US") == ("phone", "+14155552671")
    assert parse_ref("url:https://a.example/b") == ("url", "https://a.example/b")
    assert parse_ref(f"user_id:{ID}") == ("user_id", ID)


@pytest.mark.parametrize(
    "ref", ["", "ada", ID.replace("-", ""), f"{{{ID}}}", ":x", "a b:x", "email:", "email:null", "user_id: 0 ", ID + "\n"]
)
def test_what_names_no_profile_is_malformed(ref: str) -> None:
    with pytest.raises(RefMalformed):
        parse_ref(ref)
