"""What lies in the repositories, as data.

A directory of a repository is a model; a directory in it whose name is a number is a version. Nothing that
leads out of its repository is followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clockwork_triton.errors import Code, ServerError

TWICE = "model appears in two or more repositories"

# A model's directory with more than these is refused rather than walked at every poll.
MOST_ENTRIES = 10_000
DEEPEST = 32


@dataclass(frozen=True, order=True)
class FileStamp:
    """A file as change detection sees it; `path` is relative to the model's directory."""

    path: str
    size: int
    mtime_ns: int


Fingerprint = tuple[FileStamp, ...]


@dataclass(frozen=True)
class FoundModel:
    """A model's directory. `files`: those outside of version directories (configuration, labels).

    `refusal`: why it is not even tried, or "". Equal when both would be served alike.
    """

    name: str
    directory: Path
    files: Fingerprint = ()
    versions: Mapping[int, Fingerprint] = field(default_factory=dict)
    refusal: str = ""


Scan = Mapping[str, FoundModel]


def scan(roots: Sequence[Path]) -> Scan:
    """Every model of the repositories by name. OSError if a repository itself cannot be listed."""
    found: dict[str, FoundModel] = {}
    for root in roots:
        top = root.resolve(strict=True)
        for directory in _model_directories(top):
            if other := found.get(directory.name):
                found[directory.name] = FoundModel(other.name, other.directory, refusal=TWICE)
            else:
                found[directory.name] = _scan_model(top, directory)
    return found


def model_names(roots: Sequence[Path]) -> Mapping[str, int]:
    """In how many repositories each model appears. OSError as `scan`."""
    counts: dict[str, int] = {}
    for root in roots:
        for directory in _model_directories(root):
            counts[directory.name] = counts.get(directory.name, 0) + 1
    return counts


def check_name(name: str) -> None:
    """ServerError INVALID_ARG, in Triton's words, for a name that no model may have."""
    if not name.strip():
        raise ServerError(
            Code.INVALID_ARG, "Model name cannot be empty. Please enter a valid name to deploy."
        )
    if ".." in name or "/" in name or "\\" in name or "\0" in name:
        raise ServerError(
            Code.INVALID_ARG,
            f"invalid model name '{name}', model name must not contain path traversal characters",
        )


def is_version(name: str) -> bool:
    """Whether a directory's name is a version number: digits that do not begin with zero."""
    return name.isascii() and name.isdigit() and not name.startswith("0") and len(name) <= 18


def _model_directories(root: Path) -> list[Path]:
    # No client can ask for a name that is not UTF-8, and no message can carry it.
    names = [name for name in os.listdir(root) if not name.startswith(".") and name == _printable(name)]
    # os.path.isdir is false where DirEntry.is_dir raises: a link that leads to itself.
    return sorted(root / name for name in names if os.path.isdir(root / name))


def _scan_model(top: Path, directory: Path) -> FoundModel:
    files: list[FileStamp] = []
    versions: dict[int, list[FileStamp]] = {}
    try:
        check_name(directory.name)
        for count, (path, status) in enumerate(_walk(top, directory), 1):
            if count > MOST_ENTRIES:
                raise _refused(f"the model's directory holds more than {MOST_ENTRIES} files")
            parts = path.relative_to(directory).parts
            if stat.S_ISDIR(status.st_mode):
                if len(parts) == 1 and is_version(parts[0]):
                    versions[int(parts[0])] = []
            elif stat.S_ISREG(status.st_mode):
                own = versions.get(int(parts[0])) if is_version(parts[0]) else None
                stamp = FileStamp("/".join(parts), status.st_size, status.st_mtime_ns)
                (files if own is None else own).append(stamp)
            else:
                raise _refused(f"'{'/'.join(parts)}' is neither a file nor a directory")
    except ServerError as error:
        return FoundModel(directory.name, directory, refusal=error.message)
    except OSError as error:
        return FoundModel(
            directory.name, directory, refusal=f"failed to read the model's directory: {error.strerror}"
        )
    return FoundModel(
        directory.name,
        directory,
        tuple(sorted(files)),
        {version: tuple(sorted(versions[version])) for version in sorted(versions)},
    )


def _walk(top: Path, path: Path, depth: int = 0) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below the path, parents first; links are followed as far as they stay below `top`."""
    if depth == 0:
        _check_inside(top, path)
    if depth > DEEPEST:
        raise _refused(f"the model's directory is more than {DEEPEST} deep")
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            below = Path(entry.path)
            if entry.is_symlink():
                _check_inside(top, below)
            status = below.stat()
            yield below, status
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(top, below, depth + 1)


def _check_inside(top: Path, path: Path) -> None:
    if not Path(os.path.realpath(path, strict=True)).is_relative_to(top):
        raise _refused(f"'{path.name}' leads out of the model repository")


def _refused(message: str) -> ServerError:
    return ServerError(Code.INVALID_ARG, _printable(message))


def _printable(text: str) -> str:
    """The text with what is not UTF-8 in it replaced."""
    return text.encode("utf-8", "replace").decode()
