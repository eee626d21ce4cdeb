"""The scripts that make model_repository/: `python -m scripts.models` writes every model anew."""
