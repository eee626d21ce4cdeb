"""A load generator for any server of the protocol: who is asked what, when, and what became of it."""
