"""HTTP of profile: the view by any identifier, lists, edits, the search page."""
