"""Types and functions that rooms share; it needs numpy and msgspec only."""
