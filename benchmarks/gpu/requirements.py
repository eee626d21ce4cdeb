"""What a machine needs to check its GPU: the dependencies in pyproject.toml, but for the compilers, and for
tests.

A model of a kit is converted already, so neither TVM nor the linker is needed where it is served.
"""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"
COMPILERS = frozenset({"apache-tvm", "apache-tvm-ffi", "ziglang"})
EXTRAS = ("cuda",)
TESTING = ("pytest", "hypothesis")


def requirements(*, extras: bool = True, pyproject: Path = PYPROJECT) -> list[str]:
    """As pip takes them. `extras`: also what serving does without."""
    project = tomllib.loads(pyproject.read_text())["project"]
    # Those with a condition are for Pythons older than where a GPU is checked.
    found = [each for each in project["dependencies"] if ";" not in each]
    if extras:
        for extra in EXTRAS:
            found += project["optional-dependencies"][extra]
        found += TESTING
    return [each for each in found if name_of(each) not in COMPILERS]


def name_of(requirement: str) -> str:
    """The package, as registries spell it."""
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def missing() -> list[str]:
    """The packages that serving needs and that are not there."""
    lacking = []
    for requirement in requirements(extras=False):
        try:
            version(name_of(requirement))
        except PackageNotFoundError:
            lacking.append(name_of(requirement))
    return lacking
