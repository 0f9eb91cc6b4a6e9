"""Reading rules: JSON to nodes, with every mistake pointed at."""

from services.segmentation.domain.parsing.rules import parse_rule

__all__ = ["parse_rule"]
