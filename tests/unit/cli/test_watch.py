from cli.commands.watch import parse_events, render_event

LINES = ["retry: 1000", "", "event: accepted", "id: 1", 'data: {"name": "E"}', "", ":", "", "event: live", "data: {}", ""]


def test_events_are_read_and_comments_left_out() -> None:
    assert list(parse_events(LINES)) == [("accepted", {"name": "E"}), ("live", {})]


def test_a_taken_one_says_what_and_who_a_refused_one_why() -> None:
    taken = {
        "received_at": "2026-11-22T12:00:00Z",
        "name": "Order Completed",
        "channel": "web",
        "identifiers": [{"kind": "user_id", "value": "u1"}],
        "flags": ["currency_case"],
    }
    assert render_event("accepted", taken) == "12:00:00  taken     Order Completed (web)  user_id:u1  [currency_case]"
    refused = {"received_at": "2026-11-22T12:00:00Z", "reason": "no_identifier", "detail": "nobody", "path": "/v1/t"}
    assert render_event("rejected", refused) == "12:00:00  refused   no_identifier: nobody (/v1/t)"
