"""Use cases of segmentation: judge profiles, change definitions, fill segments, answer what-if and why."""
