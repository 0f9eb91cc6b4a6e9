"""Touchpoints in: the tracking protocol, our own JSON, normalisation, rejections. Writes the `touchpoints` topic."""
