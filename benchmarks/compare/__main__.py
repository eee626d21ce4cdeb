"""`python -m benchmarks.compare prepare`, then one scenario after another, then `page`; or `all`."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare import page
from benchmarks.compare.measure import Sample
from benchmarks.compare.scenarios import REPOSITORIES, SCENARIOS, Settings
from benchmarks.compare.servers import Homes
from benchmarks.serving import machine

ROOT = Path(__file__).resolve().parents[2]
STEPS = ("prepare", *SCENARIOS, "page", "all")


def main() -> int:
    arguments = _parser().parse_args()
    # So that what is ended ends its servers, and keeps what it has measured.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    steps = STEPS[:-1] if arguments.step == "all" else (arguments.step,)
    for step in steps:
        if step == "prepare":
            prepare(arguments.scratch)
        elif step == "page":
            page.write(arguments.results)
        else:
            measure(step, arguments)
    return 0


def prepare(scratch: Path) -> None:
    """Writes the models, and converts them for this server. Their times are not measured here: servers do
    that when they start, in the quiet of a measurement."""
    for name, write in REPOSITORIES.items():
        print(f"models of {name}", flush=True)
        write(scratch / name)
        command = [sys.executable, "-m", "clockwork_triton.cli", "convert", str(scratch / name)]
        subprocess.run([*command, "--artifact-cache", str(scratch / "artifacts"), "--jobs", "2"], check=True)


def measure(name: str, arguments: argparse.Namespace) -> None:
    """Runs a scenario and keeps what it measured in `results`/compare/`name`.json."""
    homes = Homes(arguments.triton, arguments.packages, arguments.kserve, arguments.mlserver)
    file = arguments.results / "compare" / f"{name}.json"
    earlier = (
        json.loads(file.read_text()) if arguments.add and file.exists() else {"rounds": 0, "samples": []}
    )
    settings = Settings(
        arguments.scratch,
        homes,
        arguments.rounds,
        arguments.seconds,
        arguments.factors,
        arguments.capacity,
        earlier["rounds"],
    )
    for profile in (arguments.scratch / "artifacts").rglob("profile-*.json"):
        # Measured beside who knows what; the server measures again when it starts.
        profile.unlink()
    begin = time.time()
    samples: list[Sample] = earlier["samples"]
    complete = False
    try:
        SCENARIOS[name](settings, samples)
        complete = True
    finally:
        document = {
            "scenario": name,
            "date": time.strftime("%Y-%m-%d", time.gmtime(begin)),
            "machine": machine.description(),
            "rounds": earlier["rounds"] + arguments.rounds,
            "seconds": arguments.seconds,
            "complete": complete,
        }
        _keep(file, document, samples)
    print(f"{name} took {time.time() - begin:.0f} s")


def _keep(file: Path, document: Mapping[str, Any], samples: Sequence[Sample]) -> None:
    """A line a sample."""
    file.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({**document, "samples": []}, indent=1).removesuffix("[]\n}")
    file.write_text(head + "[\n" + ",\n".join(map(json.dumps, samples)) + "\n]}\n")


def _parser() -> argparse.ArgumentParser:
    cache = ROOT / ".cache"
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=__doc__)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--scratch", type=Path, default=cache / "compare", help="models, artifacts and logs")
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement with bench")
    parser.add_argument("--factors", type=float, nargs="+", default=[0.5, 0.9, 1.2, 2.0, 3.0])
    parser.add_argument("--add", action="store_true", help="to the rounds that were measured before")
    parser.add_argument("--capacity", type=float, help="default: the best that any server reaches")
    parser.add_argument("--triton", type=Path, default=cache / "triton" / "wheel")
    parser.add_argument("--packages", type=Path, default=cache / "peers" / "triton")
    parser.add_argument("--kserve", type=Path, default=cache / "peers" / "kserve")
    parser.add_argument("--mlserver", type=Path, default=cache / "peers" / "mlserver")
    return parser


if __name__ == "__main__":
    sys.exit(main())
