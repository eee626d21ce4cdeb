"""How fast compiled models are beside ONNX Runtime on one core, and what compiling them takes.

    python -m benchmarks.kernels convert [--models a,b] [--batches 1,8]    needs both cores to itself
    python -m benchmarks.kernels ratio   [--models a,b] [--batches 1,8]    one core
    python -m benchmarks.kernels tail    [--models resnet50] [--rounds 1000]
    python -m benchmarks.kernels growth  [--models resnet50] [--batches 1,2,4,8,16]
    python -m benchmarks.kernels write                                     the page in docs/results

The steps are apart so that each can have a quiet machine; what they find is kept in --work.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.architectures import NAMES
from benchmarks.kernels import page, results
from benchmarks.kernels.comparison import Comparison, compare, growth
from benchmarks.kernels.conversion import convert

FOLDER = Path(__file__).parents[2] / "docs" / "results"


def main() -> None:
    options = _options()
    if options.step == "write":
        ratios, tails = (results.comparisons(options.work, kind) for kind in ("ratio", "tail"))
        page.write(FOLDER, ratios, tails, results.growths(options.work), results.conversions(options.work))
        print(page.summary(ratios))
        return
    for name in options.models.split(","):
        folder, batches = options.work / name, tuple(map(int, options.batches.split(",")))
        if options.step == "convert":
            conversion = convert(name, batches, folder)
            results.keep(conversion, folder, "conversion")
            print(conversion, flush=True)
            continue
        if options.step == "growth":
            grown = growth(name, folder, batches, options.rounds)
            results.keep(grown, folder, "growth")
            print(grown, flush=True)
            continue
        for batch in batches:
            found = compare(name, folder, batch, options.rounds, cpu_time=options.cpu_time)
            results.keep(found, folder, f"{options.step}-{batch}")
            print(_line(found), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("step", choices=("convert", "ratio", "tail", "growth", "write"))
    parser.add_argument("--models", default=",".join(NAMES))
    parser.add_argument("--batches", default="1,8")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cpu-time", action="store_true", help="for a machine that has other work")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "kernels-benchmark")
    return parser.parse_args()


def _line(found: Comparison) -> str:
    times = f"ours {found.ours_ms:9.2f} ms   ONNX Runtime {found.theirs_ms:9.2f} ms   ratio {found.ratio:.3f}"
    tails = f"p99/p50 {found.ours_p99:.2f} and {found.theirs_p99:.2f}   error {found.error:.1e}"
    return f"{found.model:14}{found.batch:6}  {times}   {tails}"


if __name__ == "__main__":
    main()
