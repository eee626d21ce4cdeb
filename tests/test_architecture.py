"""The table of docs/architecture.md "Who may import whom", held against the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEAVES = {"datatypes", "errors", "event_loop", "inference", "nvml", "__init__"}
CONTROLLER_DATA = {"controller.actions", "controller.specs", "controller.events", "controller.commands"}
ALLOWED: dict[str, set[str]] = {
    "artifact": LEAVES | {"artifact"},
    "controller": {"controller"},
    "transport": CONTROLLER_DATA | {"transport"},
    "worker": LEAVES | CONTROLLER_DATA | {"artifact", "transport", "worker"},
    "telemetry": LEAVES | CONTROLLER_DATA | {"telemetry"},
    "repository": LEAVES | {"artifact", "repository"},
    "frontend": LEAVES | {"repository", "telemetry", "frontend"},
    "engine": LEAVES | {"artifact", "controller", "transport", "telemetry", "engine"},
    "gateway": LEAVES | {"artifact", "transport", "repository", "telemetry", "frontend", "gateway"},
    "simulation": {"controller", "telemetry", "simulation"},
    "bench": LEAVES | {"simulation.workloads", "simulation.traces", "bench"},
    "doctor": LEAVES | {"worker", "doctor"},
    "converters": LEAVES | {"artifact", "converters"},
}
COMPOSERS = {
    "cli",
    "server",
    "front_end",
    "ports",
    "console",
    "reports",
    "loader",
    "devices",
    "commands",
    "verification",
    "warmup",
    "workers",
}
COMPOSERS |= {"flags", "flag_table", "flag_settings", "flag_values"}


def imports_of(path: Path) -> set[str]:
    """Dotted names of our own modules that a file imports, without the leading `clockwork_triton.`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "clockwork_triton":
                names = [f"clockwork_triton.{alias.name}" for alias in node.names]
            else:
                names = [node.module]
        for name in names:
            head, _, rest = name.partition(".")
            if head == "clockwork_triton":
                found.add(rest or "__init__")
            elif head == "converters":
                found.add(name)
    return found


def package_of(path: Path) -> str:
    relative = path.relative_to(ROOT)
    return relative.parts[0] if relative.parts[0] == "converters" else relative.parts[1].removesuffix(".py")


SOURCES = sorted([*ROOT.glob("clockwork_triton/**/*.py"), *ROOT.glob("converters/**/*.py")])


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_it_may_know(path: Path) -> None:
    package = package_of(path)
    if package in COMPOSERS:
        return
    allowed = ALLOWED.get(package, LEAVES)
    for name in imports_of(path):
        parts = name.split(".")
        assert any(".".join(parts[: n + 1]) in allowed for n in range(len(parts))), f"{path} imports {name}"


def test_the_table_names_every_package() -> None:
    packages = {p.name for p in (ROOT / "clockwork_triton").iterdir() if (p / "__init__.py").exists()}
    assert packages - COMPOSERS <= ALLOWED.keys()


def test_the_controller_reads_no_clock_and_does_no_io() -> None:
    forbidden = {"time", "asyncio", "socket", "threading", "os", "random", "subprocess", "pathlib"}
    for path in (ROOT / "clockwork_triton" / "controller").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert not forbidden & {name.split(".")[0] for name in names}, f"{path} imports {names}"


def test_the_page_names_the_composers() -> None:
    rows = (ROOT / "docs" / "architecture.md").read_text().splitlines()
    row = next(row for row in rows if row.startswith("|") and row.endswith("| everything |"))
    named = {name for group in re.findall(r"clockwork_triton/\{?([\w,]+)", row) for name in group.split(",")}
    assert named == COMPOSERS


def test_the_page_of_modules_is_fresh() -> None:
    script = ROOT / "scripts" / "generate-module-list"
    check = subprocess.run([sys.executable, script, "--check"], capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr


def test_the_page_of_modules_lists_init_files_that_hold_code() -> None:
    page = (ROOT / "docs" / "modules.md").read_text()
    policies = page.split("**`clockwork_triton/controller/policy/`**")[1].split("**")[0]
    assert "- `__init__.py`: " in policies
    passed_on = page.split("**`clockwork_triton/artifact/`**")[1].split("**")[0]
    assert "__init__" not in passed_on
