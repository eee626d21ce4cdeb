"""The command line: one subcommand a module of `clockwork_triton.commands`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module

# name -> (module, one line); a module is imported only when its command runs, since TVM takes a while.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "serve": ("serve", "serve the models of a repository"),
    "convert": ("convert", "compile ONNX models into artifacts"),
    "stages": ("stages", "show where the time of a running server's requests goes"),
    "profile": ("profile", "measure a model on a device"),
    "doctor": ("doctor", "check how this machine is set up"),
    "simulate": ("simulate", "run the controller on a virtual clock"),
    "capacity": ("capacity", "find what a given traffic needs"),
    "bench": ("bench", "load a server and say what it made of it"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command that argv names and returns its exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["tritonserver"]:
        arguments[0] = "serve"
    if not arguments or arguments[0] not in COMMANDS:
        _usage(arguments)
        return 0 if arguments[:1] in (["--help"], ["-h"]) else 2
    command: Callable[[Sequence[str]], int] = import_module(
        f"clockwork_triton.commands.{COMMANDS[arguments[0]][0]}"
    ).main
    return command(arguments[1:])


def _usage(arguments: Sequence[str]) -> None:
    if arguments and arguments[0] not in ("--help", "-h"):
        print(f"clockwork-triton: unknown command '{arguments[0]}'", file=sys.stderr)
    print("usage: clockwork-triton COMMAND [--help] ...\n", file=sys.stderr)
    for name, (_, line) in COMMANDS.items():
        print(f"  {name:<10} {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
