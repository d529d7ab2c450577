"""Writing a run to stdout, in the form that was asked for."""

from __future__ import annotations

import shutil
import sys
import textwrap

import click

from kolo.bench.report_html import page
from kolo.bench.report_text import csv_table, json_document, json_lines, markdown
from kolo.bench.result import Run
from kolo.bench.tables import (
    Grid,
    Section,
    engine_grid,
    fitted,
    main_sections,
    ratio_sections,
    remarks,
)
from kolo.cli.output import Look, dim, fitting, look, printable

WIDE = 10_000


def write_report(run: Run, form: str) -> None:
    """``form`` is one of ``kolo.cli.bench.FORMATS``."""
    match form:
        case "json":
            write_bytes(json_document(run))
        case "jsonl":
            for line in json_lines(run):
                write_bytes(line)
        case "csv":
            write_bytes(csv_table(run).encode())
        case "md":
            write_bytes(markdown(run).encode())
        case "html":
            write_bytes(page(run).encode())
        case _:
            _write_tables(run)


def write_bytes(data: bytes) -> None:
    """Data as it is, whatever the encoding of the stream."""
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def print_grid(grid: Grid) -> None:
    """A table, on a terminal in parts where it is too wide for one."""
    how = look(sys.stdout)
    parts = fitted(grid, shutil.get_terminal_size().columns) if how.terminal else [grid]
    for number, part in enumerate(parts):
        if number:
            click.echo("")
        _print_part(part, how)


def _print_part(grid: Grid, how: Look) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in grid.columns:
        table.add_column(column.title, justify="right" if column.numbers else "left", no_wrap=True)
    for row in grid.rows:
        table.add_row(*(Text(fitting(printable(cell), how)) for cell in row))
    console = Console(no_color=not how.colour, highlight=False, width=WIDE)
    with console.capture() as drawn:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def _write_tables(run: Run) -> None:
    how = look(sys.stdout)
    _print_sections(main_sections(run))
    ratios = ratio_sections(run)
    if ratios:
        click.echo(f"\nover {printable(run.targets[0].name)}, ratios [95 % interval]")
        _print_sections(ratios)
    engine = engine_grid(run)
    if engine is not None:
        click.echo("\nthe engine alone")
        print_grid(engine)
    click.echo("")
    for line in remarks(run):
        print_remark(line, how)


def _print_sections(sections: list[Section]) -> None:
    for number, section in enumerate(sections):
        if section.heading:
            click.echo("\n" * bool(number) + printable(section.heading))
        print_grid(section.grid)


def print_remark(line: str, how: Look) -> None:
    """In the background; on a terminal its further lines are set in."""
    text = fitting(printable(line), how)
    if how.terminal:
        width = max(shutil.get_terminal_size().columns, 20)
        text = textwrap.fill(text, width, subsequent_indent="  ", break_on_hyphens=False)
    click.echo(dim(text, how))
