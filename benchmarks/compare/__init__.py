"""This server beside others, on the same machine, with the same models and the same load."""
