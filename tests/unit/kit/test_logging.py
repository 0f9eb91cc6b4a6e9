import io
import json
import logging
from collections.abc import Iterator

import asyncpg
import httpx
import pytest
from pydantic import BaseModel, ValidationError

from libs.kit.logging import REDACTED, configure_logging, get_logger, reset_logging, scrub, scrub_text
from libs.kit.settings import PlatformSettings
from libs.kit.trace import start_trace, use_trace


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What the process would have logged; everything is as before afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("shop", PlatformSettings(log_level="debug"))
    caught = io.StringIO()
    handler = root.handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(caught)
    yield caught
    root.handlers[:] = handlers
    root.setLevel(level)
    reset_logging()


def test_a_line_is_one_json_object_with_service_level_and_trace(lines: io.StringIO) -> None:
    trace = start_trace()
    with use_trace(trace):
        get_logger("shop.till").info("sold", count=3)
    line = json.loads(lines.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "sold",
        "count": 3,
        "level": "info",
        "logger": "shop.till",
        "service": "shop",
        "trace_id": trace.trace_id,
    }


def test_libraries_speak_in_the_same_form(lines: io.StringIO) -> None:
    logging.getLogger("some.library").warning("retrying %s for %s", "now", "ada@example.com")
    line = json.loads(lines.getvalue())
    assert (line["event"], line["logger"], line["service"]) == (f"retrying now for {REDACTED}", "some.library", "shop")


async def test_nothing_is_said_of_the_addresses_that_are_called(lines: io.StringIO) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(204))) as client:
        await client.post("https://hooks.example.com/a-secret?key=x")
    logging.getLogger("httpcore.http11").debug("a-secret")
    assert "a-secret" not in lines.getvalue()


def test_a_librarys_traceback_is_in_the_line(lines: io.StringIO) -> None:
    try:
        {}["ada@example.com"]
    except KeyError:
        logging.getLogger("some.library").exception("broke")
    line = json.loads(lines.getvalue())
    assert "KeyError" in line["exception"]
    assert "ada" not in line["exception"].splitlines()[-1]


def test_before_a_process_configures_its_logs_they_are_scrubbed_too(capsys: pytest.CaptureFixture[str]) -> None:
    visitor = {"email": "ada@example.com"}
    try:
        visitor["phone"]
    except KeyError:
        get_logger("x").exception("lost", email=visitor["email"], seen=visitor["email"])
    said = capsys.readouterr()
    assert (said.out, "KeyError" in said.err, "ada" in said.err) == ("", True, False)


@pytest.mark.parametrize(
    "key",
    [
        "email",
        "phone",
        "value",
        "traits",
        "properties",
        "body",
        "identifiers",
        "name",
        "ip",
        "authorization",
        "write_key",
        "Write-Key",
    ],
)
def test_personal_keys_are_blanked(lines: io.StringIO, key: str) -> None:
    get_logger("x").info("seen", **{key: "Ada Lovelace"})
    assert json.loads(lines.getvalue())[key] == REDACTED
    assert "Ada" not in lines.getvalue()


def test_personal_keys_are_blanked_at_any_depth() -> None:
    hidden = scrub({"outer": [{"kind": "email", "value": "ada@example.com"}, ({"email": {"a": "b"}},)], "count": 1})
    assert hidden == {"outer": [{"kind": "email", "value": REDACTED}, [{"email": REDACTED}]], "count": 1}


def test_bytes_are_shown_by_their_size() -> None:
    assert scrub({"record": b"Ada"}) == {"record": "[3 bytes]"}


def test_a_traceback_does_not_show_the_row_postgresql_refused(lines: io.StringIO) -> None:
    error = asyncpg.PostgresError.new(
        {
            "C": "23505",
            "M": 'duplicate key value violates unique constraint "pk_people"',
            "D": "Key (email)=(ada@example.com) already exists.",
        }
    )
    try:
        raise error
    except asyncpg.UniqueViolationError:
        get_logger("x").exception("insert_failed")
    assert "ada" not in lines.getvalue()
    assert "pk_people" in json.loads(lines.getvalue())["exception"]


def test_a_traceback_does_not_show_what_pydantic_was_given(lines: io.StringIO) -> None:
    class Person(BaseModel):
        age: int

    given = {"age": "forty-two years"}
    with pytest.raises(ValidationError) as caught:
        Person.model_validate(given)
    get_logger("x").error("refused", exc_info=caught.value)
    assert "forty-two" not in lines.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "mail to ada.l+x@mail.example.co.uk bounced",
        "DETAIL:  Failing row contains (1, Ada, 1815-12-10).",
        "Key (kind, value)=(phone, +49301234567) already exists.",
        "[SQL: INSERT ...]\n[parameters: ('Ada',)]",
        "cannot reach postgresql://rapport:Ada@db:5432/rapport",
    ],
)
def test_texts_lose_what_looks_personal_or_secret(text: str) -> None:
    cleaned = scrub_text(text)
    assert REDACTED in cleaned
    for secret in ("ada", "Ada", "+4930", "1815"):
        assert secret not in cleaned


def test_requests_are_not_logged_by_uvicorn(lines: io.StringIO) -> None:
    logging.getLogger("uvicorn.access").info('127.0.0.1 - "GET /v1/profiles/email:ada HTTP/1.1" 200')
    assert lines.getvalue() == ""
