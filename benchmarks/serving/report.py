"""What a check found: claims, tables and pictures; on the console, in Markdown, in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as ConsoleTable

Cell = str | int | float


@dataclass(frozen=True)
class Claim:
    """One thing that must be so. `detail` is the measurement that decided it."""

    text: str
    holds: bool
    detail: str = ""


@dataclass
class Table:
    title: str
    columns: Sequence[str]
    rows: list[Sequence[Cell]] = field(default_factory=list)

    def add(self, *cells: Cell) -> None:
        assert len(cells) == len(self.columns)
        self.rows.append(cells)

    def texts(self) -> list[list[str]]:
        return [[shown(cell) for cell in row] for row in self.rows]


@dataclass
class Report:
    """`name` is the check's, as typed on the command line; `pictures` are PNG files."""

    name: str
    title: str
    claims: list[Claim] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pictures: list[Path] = field(default_factory=list)

    def claim(self, text: str, holds: bool, detail: str = "") -> None:
        self.claims.append(Claim(text, bool(holds), detail))

    def table(self, title: str, *columns: str) -> Table:
        self.tables.append(Table(title, columns))
        return self.tables[-1]

    @property
    def holds(self) -> bool:
        """False too where nothing was claimed: a check that looked at nothing proves nothing."""
        return bool(self.claims) and all(claim.holds for claim in self.claims)

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "check": self.name,
            "holds": self.holds,
            "claims": [asdict(claim) for claim in self.claims],
            "tables": [
                {"title": t.title, "rows": [dict(zip(t.columns, row, strict=True)) for row in t.rows]}
                for t in self.tables
            ],
            "notes": self.notes,
        }

    def show(self, console: Console) -> None:
        console.rule(self.title)
        for table in self.tables:
            shape = ConsoleTable(title=table.title or None, title_justify="left")
            for position, column in enumerate(table.columns):
                shape.add_column(column, justify="left" if position == 0 else "right", overflow="fold")
            for row in table.texts():
                shape.add_row(*row)
            console.print(shape)
        for note in self.notes:
            console.print(note, highlight=False)
        for claim in self.claims:
            mark = "[green]holds[/green]" if claim.holds else "[red]FAILS[/red]"
            console.print(f"{mark}  {claim.text}" + (f" ({claim.detail})" if claim.detail else ""))

    def markdown(self, folder: Path) -> str:
        """A section of a page that lies in `folder`."""
        lines = [f"## {self.title}", ""]
        for claim in self.claims:
            verdict = "holds" if claim.holds else "**fails**"
            lines.append(f"- {claim.text}: {verdict}" + (f" ({claim.detail})" if claim.detail else "") + ".")
        lines.append("")
        for table in self.tables:
            if table.title:
                lines += [f"{table.title}:", ""]
            lines.append("| " + " | ".join(table.columns) + " |")
            lines.append("|" + "---|" * len(table.columns))
            lines += ["| " + " | ".join(row) + " |" for row in table.texts()]
            lines.append("")
        for note in self.notes:
            lines += [note, ""]
        for picture in self.pictures:
            lines += [f"![{self.title}]({picture.resolve().relative_to(folder.resolve()).as_posix()})", ""]
        return "\n".join(lines)


def shown(cell: Cell) -> str:
    """Numbers with three figures that say something."""
    if isinstance(cell, float):
        if cell != 0 and abs(cell) < 1e-3:
            return f"{cell:.1e}"
        return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return f"{cell:,}" if isinstance(cell, int) else cell
