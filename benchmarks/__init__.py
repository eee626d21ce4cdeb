"""Measurements and proofs that run for minutes: on servers, on converted models."""
