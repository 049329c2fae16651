"""`womm setup`'s questions."""
