"""The same requests to Triton itself and to this server, and what they answer differently."""
