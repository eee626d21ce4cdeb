"""What the server promises, shown on a running one: `python -m benchmarks.serving CHECK`."""
