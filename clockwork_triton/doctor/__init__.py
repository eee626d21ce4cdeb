"""Whether a machine is set up so that running times repeat, and what to change where it is not."""
