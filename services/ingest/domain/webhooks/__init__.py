"""What other companies' tools send by themselves: is it really theirs, and which touchpoints does it tell of. Pure code."""
