"""`clockwork-triton doctor`: whether this machine is set up so that running times repeat."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clockwork_triton.doctor.checks import examine
from clockwork_triton.doctor.facts import gather
from clockwork_triton.doctor.finding import Finding, Verdict
from clockwork_triton.nvml import Nvml
from converters.nvcc import find_compiler, find_host_compiler

COLOURS = {Verdict.GOOD: "green", Verdict.POOR: "yellow", Verdict.BAD: "red"}


def main(argv: Sequence[str]) -> int:
    """Prints what was found; 1 if something does not work."""
    parser = argparse.ArgumentParser(prog="clockwork-triton doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    args = parser.parse_args(argv)
    findings = examine(gather(find_compiler, Nvml.open(), host_compiler=find_host_compiler))
    if args.json:
        print(json.dumps([{**asdict(found), "verdict": found.verdict.value} for found in findings], indent=2))
    else:
        Console().print(table(findings))
    return int(any(found.verdict is Verdict.BAD for found in findings))


def table(findings: Sequence[Finding]) -> Table:
    """What is wrong comes last, where a terminal shows it."""
    found = Table("", "", "found", "change", "what it buys")
    order = list(Verdict)
    for finding in sorted(findings, key=lambda finding: order.index(finding.verdict)):
        word = f"[{COLOURS[finding.verdict]}]{finding.verdict.value}"
        found.add_row(finding.subject, word, *map(escape, (finding.found, finding.change, finding.gain)))
    return found
