"""OpenAPI of the plain ASGI endpoints, written by hand: the framework doesn't see them."""

from collections.abc import Mapping
from typing import Any, Final

from services.ingest.domain.limits import BATCH_BYTES, BATCH_EVENTS, EVENT_BYTES, MESSAGE_ID_CHARS
from services.ingest.domain.reasons import Reason

Schema = dict[str, Any]

_TEXT: Final[Schema] = {"type": ["string", "null"]}
_ID: Final[Schema] = {"type": ["string", "number", "null"]}
_OBJECT: Final[Schema] = {"type": ["object", "null"]}
_INSTANT: Final[Schema] = {"type": ["string", "null"], "description": "RFC 3339, any offset and fraction."}

_RECEIPT_MEMBERS: Final[Schema] = {
    "accepted": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["index", "message_id", "id"],
            "properties": {
                "index": {"type": "integer"},
                "message_id": {"type": "string"},
                "id": {"type": "string", "format": "uuid", "description": "The touchpoint: `wait_for` takes it."},
            },
        },
    },
    "rejected": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["index", "reason", "detail"],
            "properties": {
                "index": {"type": "integer"},
                "reason": {"type": "string", "enum": [reason.value for reason in Reason]},
                "detail": {"type": "string"},
            },
        },
    },
}
_COMPONENTS: Final[Schema] = {
    "Call": {
        "type": "object",
        "description": "A call of the Segment tracking protocol.",
        "properties": {
            "type": {"type": "string", "enum": ["track", "identify", "page", "screen", "group", "alias"]},
            "messageId": {**_ID, "maxLength": MESSAGE_ID_CHARS, "description": "The same id is the same touchpoint."},
            "userId": _ID,
            "anonymousId": _ID,
            "groupId": _ID,
            "previousId": _ID,
            "event": _TEXT,
            "name": _TEXT,
            "category": _TEXT,
            "channel": _TEXT,
            "timestamp": _INSTANT,
            "originalTimestamp": _INSTANT,
            "sentAt": _INSTANT,
            "properties": _OBJECT,
            "traits": _OBJECT,
            "context": _OBJECT,
            "writeKey": {**_TEXT, "description": "Where no header carries the key."},
        },
    },
    "Batch": {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {"type": "array", "maxItems": BATCH_EVENTS, "items": {"$ref": "#/components/schemas/Call"}},
            "sentAt": _INSTANT,
            "context": {**_OBJECT, "description": "Merged under each call's own."},
            "writeKey": _TEXT,
        },
    },
    "Touchpoints": {
        "type": "object",
        "additionalProperties": False,
        "required": ["touchpoints"],
        "properties": {
            "touchpoints": {"type": "array", "maxItems": BATCH_EVENTS, "items": {"$ref": "#/components/schemas/Touchpoint"}}
        },
    },
    "Touchpoint": {
        "type": "object",
        "additionalProperties": False,
        "required": ["identifiers"],
        "properties": {
            "id": {**_TEXT, "maxLength": MESSAGE_ID_CHARS, "description": "The message id."},
            "name": {**_TEXT, "description": "What happened. Needed for the kind track."},
            "kind": {"type": "string", "enum": ["track", "identify", "page", "screen", "group", "alias"], "default": "track"},
            "occurred_at": {**_INSTANT, "description": "RFC 3339; the time of receipt where it is missing."},
            "identifiers": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": _ID,
                "examples": [{"user_id": "u1", "email": "ada@example.com", "loyalty_card": "9900123"}],
            },
            "channel": {
                "type": ["string", "null"],
                "enum": ["web", "mobile", "pos", "social", "support", "email", "sms", "push", "server", "import", None],
            },
            "group_id": _ID,
            "previous_id": {**_ID, "description": "For the kind alias: who it was before."},
            "properties": _OBJECT,
            "traits": _OBJECT,
            "context": _OBJECT,
        },
    },
    "Receipt": {"type": "object", "required": ["accepted", "rejected"], "properties": _RECEIPT_MEMBERS},
    "TrackingReceipt": {
        "type": "object",
        "required": ["success"],
        "properties": {"success": {"type": "boolean", "const": True}, **_RECEIPT_MEMBERS},
    },
}

_KEY_NOTE: Final = (
    "The write key: Basic user (without password), else `X-Write-Key`, else `?writeKey=`, else `writeKey` in the body. "
)
_PREFER: Final[Schema] = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "`return=representation` lists what was accepted and rejected.",
}


def _problem(description: str) -> Schema:
    return {
        "description": description,
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _answers(schema: str) -> Schema:
    return {
        "200": {
            "description": "Stored: the log has acknowledged it.",
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
        },
        "400": _problem("The body is no JSON, or nothing can be found in it."),
        "401": _problem("`invalid_write_key`"),
        "403": _problem("`origin_not_allowed`: the key is for browsers on other websites."),
        "408": _problem("The request came too slowly."),
        "413": _problem(f"Larger than {EVENT_BYTES} bytes (an event) or {BATCH_BYTES} bytes (a batch, inflated)."),
        "429": _problem("Too much at once, or more than the source may (`rate_limited`): send it again after `Retry-After`."),
        "503": _problem("Nothing was taken: send it again after `Retry-After`."),
    }


def _describe(summary: str, description: str, *, body: str, answer: str) -> Mapping[str, Any]:
    return {
        "tags": ["tracking"],
        "summary": summary,
        "description": _KEY_NOTE + description,
        "security": [],
        "requestBody": {
            "required": True,
            "description": "JSON, gzip or not, whatever the Content-Type says.",
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{body}"}}},
        },
        "responses": _answers(answer),
        "components": _COMPONENTS,
    }


def describe_single(kind: str) -> Mapping[str, Any]:
    operation = _describe(f"One {kind} call", "A bad one is parked and answered 200.", body="Call", answer="TrackingReceipt")
    return {**operation, "parameters": [_PREFER]}


BATCH: Final[Mapping[str, Any]] = {
    **_describe(
        "Many calls",
        f"At most {BATCH_EVENTS}. A bad one is parked alone; the others are taken.",
        body="Batch",
        answer="TrackingReceipt",
    ),
    "parameters": [_PREFER],
}
OWN: Final[Mapping[str, Any]] = {
    **_describe(
        "Touchpoints as plain JSON",
        "For tills and back ends. Unknown members refuse the request (422); a bad touchpoint is refused alone. Where ids are "
        "missing and an Idempotency-Key is given, message id = SHA-256(key, index), so repeating it changes nothing.",
        body="Touchpoints",
        answer="Receipt",
    ),
    "tags": ["touchpoints"],
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }
    ],
    "responses": {**_answers("Receipt"), "422": _problem("Members that a touchpoint doesn't have; nothing was taken.")},
}
_CLOUD_EVENT: Final[Schema] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"type": "string", "const": "1.0"},
        "id": {"type": "string", "minLength": 1, "description": "With `source`: the message id."},
        "source": {"type": "string", "minLength": 1},
        "type": {
            "type": "string",
            "minLength": 1,
            "description": "The name: that of the vocabulary which its end spells, else itself. `com.shop.order.completed.v1` is "
            "`Order Completed`.",
        },
        "time": {"type": "string", "format": "date-time", "description": "When it happened; the time of receipt where missing."},
        "subject": {"type": "string", "description": "`kind:value` (`email:ada@example.com`), or a user id."},
        "datacontenttype": {"type": "string"},
        "dataschema": {"type": "string"},
        "channel": {"type": "string", "description": "An extension of ours."},
        "data": {
            "type": "object",
            "description": "The properties (of `Identified`: the traits). Its `identifiers`, `user_id`, `anonymous_id`, `email`, "
            "`phone` and `loyalty_card` say whom it is about, beside the subject.",
        },
        "data_base64": {"type": "string", "description": "JSON, where the sender had to encode it."},
    },
}
CLOUD_EVENTS: Final[Mapping[str, Any]] = {
    **_describe(
        "CloudEvents 1.0",
        f"In binary, structured or batched mode (at most {BATCH_EVENTS}). A bad event is parked and refused alone.",
        body="CloudEvent",
        answer="Receipt",
    ),
    "tags": ["touchpoints"],
    "requestBody": {
        "required": True,
        "content": {
            "application/cloudevents+json": {"schema": {"$ref": "#/components/schemas/CloudEvent"}},
            "application/cloudevents-batch+json": {
                "schema": {"type": "array", "items": {"$ref": "#/components/schemas/CloudEvent"}}
            },
            "application/json": {
                "schema": {"type": "object", "description": "`data`; the attributes are headers, `ce-id` and so on."}
            },
        },
    },
    "parameters": [
        {"name": f"ce-{name}", "in": "header", "required": False, "schema": {"type": "string"}, "description": "In binary mode."}
        for name in ("specversion", "id", "source", "type", "time", "subject")
    ],
    "responses": {**_answers("Receipt"), "422": _problem("JSON, but neither an event nor a list of events.")},
    "components": {**_COMPONENTS, "CloudEvent": _CLOUD_EVENT},
}
PIXEL: Final[Mapping[str, Any]] = {
    "tags": ["browsers"],
    "summary": "A call in an image's address",
    "description": "`data` is base64 JSON; else each parameter is a field or a property. Always answered with the image.",
    "security": [],
    "parameters": [{"name": "data", "in": "query", "required": False, "schema": {"type": "string"}}],
    "responses": {"200": {"description": "A transparent GIF", "content": {"image/gif": {}}}},
}
SETTINGS: Final[Mapping[str, Any]] = {
    "tags": ["browsers"],
    "summary": "Settings document of analytics-next",
    "security": [],
    "parameters": [{"name": "write_key", "in": "path", "required": True, "schema": {"type": "string"}}],
    "responses": {"200": {"description": "The document", "content": {"application/json": {"schema": {"type": "object"}}}}},
}
SOURCE_CONFIG: Final[Mapping[str, Any]] = {
    "tags": ["browsers"],
    "summary": "Source configuration of RudderStack's browser SDK",
    "security": [],
    "parameters": [{"name": "writeKey", "in": "query", "required": False, "schema": {"type": "string"}}],
    "responses": {
        "200": {"description": "The document", "content": {"application/json": {"schema": {"type": "object"}}}},
        "401": _problem("`invalid_write_key`"),
    },
}
ANALYTICS_JS: Final[Mapping[str, Any]] = {
    "tags": ["browsers"],
    "summary": "analytics-next for an HTML snippet",
    "description": "The bundle of the npm package, asking this host for its settings. The same for every key.",
    "security": [],
    "parameters": [{"name": "write_key", "in": "path", "required": True, "schema": {"type": "string"}}],
    "responses": {
        "200": {"description": "The bundle", "content": {"text/javascript": {}}},
        "304": {"description": "As `If-None-Match` says"},
        "404": _problem("`analytics_js_missing`: this installation has none"),
    },
}
ANALYTICS_JS_CHUNK: Final[Mapping[str, Any]] = {
    **ANALYTICS_JS,
    "summary": "A part of analytics-next that it loads when it needs it",
    "description": "Named by its content, so it may be kept for ever.",
    "parameters": [{"name": "file", "in": "path", "required": True, "schema": {"type": "string"}}],
}
ANALYTICS_JS_LICENCE: Final[Mapping[str, Any]] = {
    "tags": ["browsers"],
    "summary": "The licence of analytics-next",
    "security": [],
    "responses": {
        "200": {"description": "The licence", "content": {"text/plain": {}}},
        "304": {"description": "As `If-None-Match` says"},
        "404": _problem("`analytics_js_missing`: this installation has none"),
    },
}
SDK_METRICS: Final[Mapping[str, Any]] = {
    "tags": ["browsers"],
    "summary": "The SDKs' counts of their own calls: taken and thrown away",
    "security": [],
    "responses": {"200": {"description": "Thank you"}},
}
_WEBHOOK_PLACE: Final = [
    {"name": "provider", "in": "path", "required": True, "schema": {"type": "string"}},
    {"name": "source_id", "in": "path", "required": True, "schema": {"type": "string"}},
]
WEBHOOK: Final[Mapping[str, Any]] = {
    "tags": ["webhooks"],
    "summary": "A delivery of a provider's webhook",
    "description": "Proven by the provider's own signature. What is refused in it is parked and answered 200, what means nothing "
    "to us is named under `ignored`. The same delivery twice has one effect.",
    "security": [],
    "parameters": _WEBHOOK_PLACE,
    "requestBody": {
        "required": True,
        "description": "As the provider sends it: JSON, a form or a multipart form.",
        "content": {
            "application/json": {},
            "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
            "multipart/form-data": {"schema": {"type": "object"}},
        },
    },
    "responses": {
        "200": {
            "description": "Stored: the log has acknowledged it.",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/WebhookReceipt"}}},
        },
        "401": {"description": "`invalid_signature`: nothing was kept."},
        "404": {"description": "`webhook_not_found`"},
        "413": {"description": "Larger than 1 MiB."},
        "429": {"description": "Too much at once: `Retry-After` says when to send it again."},
        "503": {"description": "Nothing was taken: send it again after `Retry-After`."},
    },
    "components": {
        "WebhookReceipt": {
            "type": "object",
            "required": ["accepted", "rejected", "ignored"],
            "properties": {**_RECEIPT_MEMBERS, "ignored": {"type": "array", "items": {"type": "string"}}},
        }
    },
}
WEBHOOK_HANDSHAKE: Final[Mapping[str, Any]] = {
    "tags": ["webhooks"],
    "summary": "A provider asks whether somebody is there",
    "description": "Where the provider's mapping says so, the challenge is given back for a verify token that is a secret of it.",
    "security": [],
    "parameters": [
        *_WEBHOOK_PLACE,
        {"name": "hub.challenge", "in": "query", "required": False, "schema": {"type": "string"}},
        {"name": "hub.verify_token", "in": "query", "required": False, "schema": {"type": "string"}},
    ],
    "responses": {
        "200": {"description": "The challenge", "content": {"text/plain": {"schema": {"type": "string"}}}},
        "401": {"description": "`invalid_signature`"},
        "404": {"description": "`webhook_not_found`"},
        "405": {"description": "This provider only sends."},
    },
}
