"""Files as touchpoints: what a file is, what its rows mean, and what became of them. Pure: others open and read."""
