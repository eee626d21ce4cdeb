"""Checks that need a GPU, made where there is one and prepared where there is none: scripts/check-gpu."""
