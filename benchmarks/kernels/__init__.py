"""How fast compiled models are beside ONNX Runtime on one core, and what compiling them takes."""
