"""Which ONNX operators can be converted: the node tests of the `onnx` package, tried one by one."""
