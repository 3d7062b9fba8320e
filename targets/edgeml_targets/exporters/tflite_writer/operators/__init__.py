"""Operators of ONNX in LiteRT's terms: a file a kind, a function an operator, found by listing the folder."""
