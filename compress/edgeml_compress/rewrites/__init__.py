"""Rewrites: a file each makes a graph simpler without changing what it answers. `preparation.py` names their order.

Each file has one function of its own name: it changes the model that it is given and returns how many places it changed.
"""
