"""The standard vocabulary: which names touchpoints have, what they say, and what else they are called. Knows no services.

`catalogue.toml` is the one list; docs/touchpoints.md shows it. Businesses may use any other name: those stay as they are.
"""

from libs.vocabulary.catalogue import CATALOGUE, TYPES, Catalogue, Family, Property, PropertyType, StandardName
from libs.vocabulary.names import find_same, find_spelled

__all__ = ["CATALOGUE", "TYPES", "Catalogue", "Family", "Property", "PropertyType", "StandardName", "find_same", "find_spelled"]
