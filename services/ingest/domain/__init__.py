"""What a call means: pure functions from the sender's bytes to a draft of a touchpoint, or to a named refusal."""
