"""ONNX files: reading and writing them without loading their weights."""
