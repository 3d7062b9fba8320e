"""Our own writer from an ONNX graph and its encodings straight into a TFLite flatbuffer.

`lowering` walks the graph; an operator is one function in `operators/`, which sees an `operation`. A value stands in the
file in one or more `forms`: in a layout (`layouts`), in float or as integers (`quantization`). `fusion` lets one operator
do the work of several, `windows` finds paddings, `folding` computes what is known, `flatbuffer` makes the bytes.
"""
