"""A model server for Triton clients whose latency you can predict."""

__version__ = "0.1.0"
