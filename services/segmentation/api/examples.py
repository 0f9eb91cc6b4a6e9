"""What the answers look like, for the API's document."""

from typing import Any, Final

_PROFILE: Final = "019a1f0e-6c1d-7a54-9d8e-0d4f6f2f7f10"
_NOON: Final = "2026-03-01T12:00:00.000Z"
Answers = dict[int | str, dict[str, Any]]


def document(description: str, example: Any, status: int = 200) -> Answers:
    """For a route's `responses`."""
    return {status: {"description": description, "content": {"application/json": {"example": example}}}}


MEMBERS: Final = document("A page of members", {"items": [{"profile_id": _PROFILE, "since": _NOON}], "next_cursor": None})
HISTORY: Final = document(
    "Intervals, the oldest first",
    {
        "items": [{"from": "2026-03-01T00:00:00.000Z", "to": _NOON, "size": 120, "entered": 7, "exited": 2}],
        "next_cursor": None,
    },
)
OVERLAP: Final = document(
    "The other segments, those that share most first",
    {"items": [{"id": "vip", "name": "VIP", "count": 9, "only_here": 111, "only_there": 3}], "members": 120, "next_cursor": None},
)
MATRIX: Final = document(
    "Rows and columns in the order of `segments`",
    {
        "segments": [{"id": "vip", "name": "VIP", "members": 12}, {"id": "unhappy", "name": "Unhappy", "members": 40}],
        "counts": [[12, 2], [2, 40]],
    },
)
DELIVERIES: Final = document(
    "A page of deliveries",
    {
        "items": [
            {
                "message_id": f"vip:{_PROFILE}:1",
                "type": "segment.entered",
                "state": "pending",
                "attempts": 2,
                "next_attempt_at": _NOON,
                "last_status": 503,
                "last_error": "status",
                "created_at": _NOON,
                "finished_at": None,
            }
        ],
        "next_cursor": None,
    },
)
QUEUED: Final = document("Queued", {"message_id": f"test:{_PROFILE}"}, 202)
SECRET: Final = document("The new secret", {"secret": "whsec_…", "previous_valid_until": _NOON})
WEBHOOK: Final[dict[str, Any]] = {
    "id": _PROFILE,
    "url": "https://hooks.example.com/rapport",
    "description": "CRM",
    "events": [],
    "segments": ["vip"],
    "causes": ["touchpoint", "time"],
    "state": "active",
    "disabled_reason": None,
    "failing_since": None,
    "deliveries": {"pending": 0, "delivered": 12, "failed": 0},
    "created_at": _NOON,
}
WEBHOOK_MADE: Final = document("Made. `secret` is shown this once", {**WEBHOOK, "secret": "whsec_…"}, 201)
WEBHOOK_SHOWN: Final = document("The webhook", WEBHOOK)
WEBHOOKS: Final = document("All webhooks", {"items": [WEBHOOK], "next_cursor": None})
EXPORT: Final[dict[str, Any]] = {
    "id": _PROFILE,
    "segment": "vip",
    "format": "csv",
    "columns": ["profile_id", "since"],
    "every": "P1D",
    "to": "folder",
    "next_at": "2026-03-02T06:00:00.000Z",
    "created_at": _NOON,
    "runs": [
        {
            "due_at": _NOON,
            "job": _PROFILE,
            "state": "succeeded",
            "finished_at": _NOON,
            "result": {"snapshot_at": _NOON, "file": "vip-20260301T120000Z.csv", "size_bytes": 1234},
            "error": None,
        }
    ],
}
EXPORT_MADE: Final = document("Made", EXPORT, 201)
EXPORT_SHOWN: Final = document("The export", EXPORT)
EXPORTS: Final = document("A page of exports", {"items": [EXPORT], "next_cursor": None})
ANALYSIS: Final = document(
    "A row a segment",
    {
        "at": _NOON,
        "segments": [
            {
                "id": "vip",
                "name": "VIP",
                "customers": 12,
                "revenue": {"orders": 50, "net_minor": {"EUR": 900000}},
                "average_order": {"minor": {"EUR": 18000}, "left_out": 0},
                "repeat_rate": {"buyers": 12, "repeat_buyers": 9, "rate": 0.75},
                "nps": {"answers": 4, "promoters": 2, "passives": 1, "detractors": 1, "score": 25.0},
                "csat": {"answers": 3, "average": 4.33},
                "reach": {"purpose": "marketing", "channels": {"email": {"customers": 9, "share": 0.75}}},
            }
        ],
    },
)
JOB_ACCEPTED: Final = document(
    "Queued: `Location` says where to look",
    {
        "id": _PROFILE,
        "kind": "segment_verify",
        "state": "queued",
        "progress": {"done": 0, "total": None},
        "result": None,
        "error": None,
    },
    202,
)
