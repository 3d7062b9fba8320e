"""How the ONNX exporter writes each kind of tensor: a file each for weights, biases, activations and dynamic operators."""
