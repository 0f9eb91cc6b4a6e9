"""`/v1/identity/rules`: limits, windows, blocked values and browsers' claims by kind, in versions."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, NoReturn

import msgspec
from fastapi import APIRouter, Header, Response
from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import PydanticCustomError

from libs.durable.cursors import DEFAULT_LIMIT, cut_page, decode_cursor
from libs.identity import EXTERNAL, STRENGTH, VERSION, CheckDigit, normalise, normalise_kind, strength_of
from libs.identity.values import BLOCKED
from libs.kit.auth import Principal
from libs.kit.errors import FieldError, Invalid
from libs.kit.http import StrictModel, requires
from libs.kit.times import format_duration, format_utc, parse_duration
from services.profile.api.deps import ApiDeps
from services.profile.api.lists import LAST_APPLIED, Cursor, Limit, Reads
from services.profile.api.preconditions import is_expected
from services.profile.domain.identity import MAX_IDENTIFIERS, UNKNOWN_PERSON_KINDS
from services.profile.domain.rules import INSTALLED, KindRules, complete
from services.profile.handlers.change_rules import change_rules, find_rules
from services.profile.ports import RulesVersion

_MOST_KINDS: Final = 200
_MOST_BLOCKED: Final = 1_000
_NUMBERED: Final = ("loyalty_card", EXTERNAL)
_LONGEST_WINDOW: Final = timedelta(days=3_650)
_NORMAL_FORMS: Final = {
    "email": "trimmed, the whole address in lower case",
    "phone": "E.164 where the number is valid, else its digits",
    EXTERNAL: "trimmed; letter case and inner spaces as sent",
}
_encode = msgspec.json.Encoder().encode

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="The ETag of the version that the change is based on.", examples=['"3"']),
]


def _refuse_fixed(_: object) -> NoReturn:
    raise PydanticCustomError(
        "fixed_at_install", "is fixed at install: with another one known identifiers would belong to other profiles"
    )


Fixed = Annotated[SkipJsonSchema[None], BeforeValidator(_refuse_fixed)]


class KindIn(StrictModel):
    """What is left out is as installed for this kind, whatever default this document names."""

    description: Annotated[str | None, Field(min_length=1, max_length=500, description="A new kind needs one.")] = None
    limit: Annotated[
        int | None, Field(ge=1, le=MAX_IDENTIFIERS, strict=True, description="How many a profile may hold; null: any number.")
    ] = None
    window: Annotated[
        str | None,
        Field(
            max_length=40, description="Only those count that joined so lately: an ISO 8601 duration, or null.", examples=["P7D"]
        ),
    ] = None
    blocked: Annotated[list[Annotated[str, Field(max_length=512)]], Field(default_factory=list, max_length=_MOST_BLOCKED)]
    browser_claim: Annotated[bool, Field(strict=True, description="Whether a browser's unverified word may link.")] = True
    check_digit: Annotated[
        CheckDigit | None, Field(description="Numbers (cards) whose last digit is wrong by this scheme identify nobody.")
    ] = None
    strength: Fixed = None
    priority: Fixed = None
    normaliser: Fixed = None
    normalizer: Fixed = None
    normal_form: Fixed = None


class RulesIn(StrictModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "kinds": {
                        "anonymous_id": {"limit": 5, "window": "P7D"},
                        "email": {"limit": 5, "window": "P365D", "blocked": ["info@shop.example"], "browser_claim": False},
                        "loyalty_card": {"check_digit": "ean"},
                        "crm_id": {"description": "Contact in the CRM", "limit": 1},
                    }
                }
            ]
        }
    )

    kinds: Annotated[dict[str, KindIn], Field(max_length=_MOST_KINDS, description="By kind; `*`: every kind not named.")]
    fixed: Fixed = None


_EXAMPLE: Final = {
    "version": 1,
    "changed_at": "2026-01-01T00:00:00.000Z",
    "changed_by": "marketing",
    "kinds": {
        "email": {
            "description": "An e-mail address.",
            "limit": 5,
            "window": "P365D",
            "blocked": ["info@shop.example"],
            "browser_claim": True,
            "check_digit": None,
        }
    },
    "fixed": {
        "strength": list(STRENGTH),
        "normal_forms": _NORMAL_FORMS,
        "blocked": sorted(BLOCKED),
        "identifiers_per_profile": MAX_IDENTIFIERS,
        "version": VERSION,
    },
}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The rules in force; the ETag is their version.", "content": {"application/json": {"example": _EXAMPLE}}}
}
_VERSIONS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Newest first.",
        "content": {
            "application/json": {
                "example": {
                    "items": [{name: value for name, value in _EXAMPLE.items() if name != "fixed"}],
                    "next_cursor": None,
                }
            }
        },
    }
}
_CHANGED: Final[dict[int | str, dict[str, Any]]] = {
    **_ANSWERS,
    412: {
        "description": "`If-Match` names another version than the one in force; the ETag is the present one.",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    },
}


def build_rules_router(deps: ApiDeps) -> APIRouter:
    router = APIRouter(prefix="/v1/identity", tags=["identity"])

    @router.get("/rules", responses=_ANSWERS)
    async def read_rules(_: Reads) -> Response:
        """What decides which touchpoints make one profile of several, by kind of identifier; and what is fixed at install."""
        async with deps.database.connection() as connection:
            return _answer(await find_rules(connection, deps.rules.store))

    @router.put("/rules", responses=_CHANGED)
    async def put_rules(
        body: RulesIn, principal: Annotated[Principal, requires("identity:write")], if_match: IfMatch = None
    ) -> Response:
        """Replace the rules; in force on every process within 5 s. They bind what is decided from then on: lowering a limit
        splits nobody. The same again makes no version.
        """
        kinds = _read_kinds(body, deps.region)

        def is_based_on(version: int) -> bool:
            return if_match is None or is_expected(if_match, _etag(version))

        async with deps.database.transaction() as tx:
            made = await change_rules(tx, kinds, (principal.name, deps.clock.now()), is_based_on, deps.rules.store)
        await deps.rules.refresh()
        return _answer(made)

    @router.get("/rules/versions", responses=_VERSIONS)
    async def list_versions(_: Reads, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Response:
        """Every version that somebody made, newest first, with who and when. A version never changes."""
        before = decode_cursor(cursor, int)[0] if cursor else LAST_APPLIED
        async with deps.database.connection() as connection:
            versions = await deps.rules.store.load_versions(connection, before, limit + 1)
        page = cut_page(versions, limit, lambda one: (one.version,))
        body = _encode({"items": [_show(one) for one in page.items], "next_cursor": page.next_cursor})
        return Response(body, media_type="application/json")

    return router


def _etag(version: int) -> str:
    return f'"{version}"'


def _answer(rules: RulesVersion) -> Response:
    body = _encode({**_show(rules), "fixed": _EXAMPLE["fixed"]})
    return Response(body, media_type="application/json", headers={"ETag": _etag(rules.version)})


def _show(rules: RulesVersion) -> dict[str, Any]:
    strongest_first = sorted(rules.kinds.items(), key=lambda one: (strength_of(one[0]), one[0]))
    return {
        "version": rules.version,
        "changed_at": format_utc(rules.at) if rules.at is not None else None,
        "changed_by": rules.actor,
        "kinds": {kind: _show_kind(one) for kind, one in strongest_first},
    }


def _show_kind(rules: KindRules) -> dict[str, Any]:
    return {
        "description": rules.description,
        "limit": rules.limit,
        "window": format_duration(rules.window) if rules.window is not None else None,
        "blocked": sorted(rules.blocked),
        "browser_claim": rules.browser_claim,
        "check_digit": rules.check_digit,
    }


def _read_kinds(body: RulesIn, region: str) -> Mapping[str, KindRules]:
    """Raises Invalid with a pointer at everything that is wrong."""
    errors: list[FieldError] = []
    given = {kind: _read_kind(kind, one, region, errors) for kind, one in body.kinds.items()}
    if errors:
        raise Invalid("These can't be the rules of identity.", errors=errors)
    return complete(given)


def _read_kind(kind: str, given: KindIn, region: str, errors: list[FieldError]) -> KindRules:
    at = f"#/kinds/{kind.replace('~', '~0').replace('/', '~1')}"
    if kind != EXTERNAL and normalise_kind(kind) != kind:
        errors.append(FieldError(at, "isn't a kind: letters in lower case, digits, _ . and -, at most 64"))
    installed = INSTALLED.get(kind)
    if installed is None and given.description is None:
        errors.append(FieldError(f"{at}/description", "a new kind needs one"))
    if kind in UNKNOWN_PERSON_KINDS and not given.browser_claim:
        errors.append(FieldError(f"{at}/browser_claim", "a browser's own id is no claim: only the browser knows it"))
    if given.check_digit is not None and kind not in _NUMBERED and installed is not None:
        errors.append(FieldError(f"{at}/check_digit", "is for cards and ids of other systems"))
    said = given.model_fields_set
    base = installed or KindRules(description="")
    return KindRules(
        description=given.description or base.description,
        limit=given.limit if "limit" in said else base.limit,
        window=_read_window(given.window, f"{at}/window", errors) if "window" in said else base.window,
        blocked=_read_blocked(kind, given.blocked, region, f"{at}/blocked", errors),
        browser_claim=given.browser_claim,
        check_digit=given.check_digit,
    )


def _read_window(text: str | None, at: str, errors: list[FieldError]) -> timedelta | None:
    if text is None:
        return None
    try:
        window = parse_duration(text)
    except ValueError as error:
        errors.append(FieldError(at, str(error)))
        return None
    if not timedelta(0) < window <= _LONGEST_WINDOW:
        errors.append(FieldError(at, "is more than nothing, and at most ten years (P3650D); null: for ever"))
    return window


def _read_blocked(kind: str, values: list[str], region: str, at: str, errors: list[FieldError]) -> frozenset[str]:
    found = set()
    for place, text in enumerate(values):
        value = normalise(kind, text, region=region)
        if value is None:
            errors.append(FieldError(f"{at}/{place}", "identifies nobody as it is"))
        else:
            found.add(value.lower())
    return frozenset(found)
