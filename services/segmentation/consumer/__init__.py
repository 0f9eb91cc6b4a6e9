"""Which records segmentation follows, and with what; and the clock, which changes memberships without any record."""

from services.segmentation.consumer.routes import EMITS, GROUP, ROUTES, build_handlers
from services.segmentation.consumer.timers import TimerLoop

__all__ = ["EMITS", "GROUP", "ROUTES", "TimerLoop", "build_handlers"]
