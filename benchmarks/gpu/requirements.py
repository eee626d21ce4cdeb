"""Prints what a machine needs to check its GPU: the dependencies in pyproject.toml, and for tests."""

from __future__ import annotations

import sys
from pathlib import Path

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EXTRAS = ("cuda", "onnxruntime")
TESTING = ("pytest", "hypothesis")


def requirements(pyproject: Path) -> list[str]:
    project = tomllib.loads(pyproject.read_text())["project"]
    found = list(project["dependencies"])
    for extra in EXTRAS:
        found += project["optional-dependencies"][extra]
    # pip takes them from a command line, where a space would end one.
    return [requirement.replace(" ", "") for requirement in (*found, *TESTING)]


if __name__ == "__main__":
    print(" ".join(requirements(Path(sys.argv[1]))))
