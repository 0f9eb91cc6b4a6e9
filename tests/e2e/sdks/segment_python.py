"""Run with segment-analytics-python in an environment of its own: host and user id are the arguments."""

import sys

from segment import analytics

host, user = sys.argv[1:]
failures: list[object] = []
analytics.write_key, analytics.host, analytics.sync_mode = "dev-write-key", host, False
analytics.on_error = lambda error, _items: failures.append(error)
analytics.identify(user, {"email": f"{user}@mail.example", "firstName": "Ada", "plan": "gold"})
analytics.track(user, "Order Completed", {"order_id": f"o-{user}", "revenue": 25.5, "currency": "EUR"})
analytics.page(user, "Docs", "Home", {"path": "/"})
analytics.screen(user, "Settings", "Main")
analytics.group(user, f"g-{user}", {"name": "Acme"})
analytics.alias(f"old-{user}", user)
analytics.track(anonymous_id=f"d-{user}", event="Product Viewed", properties={"product_id": "p1"})
analytics.flush()
analytics.shutdown()
sys.exit(f"not sent: {failures}" if failures else 0)
