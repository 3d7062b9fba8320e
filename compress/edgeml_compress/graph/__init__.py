"""Graphs: where a network's layers, names and constants are, what passes from one to the next, and how to run it."""
