"""What makes segmentation work without anybody asking: profile changes, the clock, and jobs. Each lane is an edge: it commits."""

from services.segmentation.consumer.checks import Checks
from services.segmentation.consumer.exports import Exports
from services.segmentation.consumer.fills import Fills
from services.segmentation.consumer.routes import EMITS, GROUP, ROUTES, build_handlers
from services.segmentation.consumer.timers import TimerLoop

__all__ = ["EMITS", "GROUP", "ROUTES", "Checks", "Exports", "Fills", "TimerLoop", "build_handlers"]
