"""The ladder: rungs from float to integers, each kept only if it pays and the answers hold.

1. Weights alone, in a form that the runtime folds when it loads: one scale a channel, then blocks, then the layers that
   cost most in half precision (`weights.py`).
2. Layers in integers, the quietest first, as many as the answers allow (`layers.py`).

A rung is a recipe, with its nodes and weights by name, so that a candidate is data.
"""
