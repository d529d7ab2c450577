"""``kolo doctor``: is everything as it must be, and what to do where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kolo.cli.root import Command

if TYPE_CHECKING:
    from kolo.doctor import Finding

FAILED = 8
WIDE = 60
"""With so many columns what was found stands beside what was looked at."""
_COLOURS = {"ok": "32", "warn": "33", "fail": "1;31"}


@click.command(
    "doctor",
    cls=Command,
    short_help="Check that all is as it must be.",
    examples=[
        ("kolo doctor", "each thing that Kolo needs, and what to do where it is not right"),
        ("kolo doctor --no-generate", "without loading a model"),
        ("kolo doctor --json | jq '.findings[] | select(.state != \"ok\")'", "what is not right"),
    ],
)
@click.option("--no-generate", is_flag=True, help="Do not load a model to have it say a word.")
@click.option("-q", "--quiet", is_flag=True, help="Only what is not right.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: healthy, kolo, findings.")
def command(no_generate: bool, quiet: bool, as_json: bool) -> int:
    """Check Python and the libraries, llama.cpp's build against this CPU, GPUs and drivers, memory
    and disk, settings, folders, port and sockets, the server, the service, and have the built-in
    model say a word.

    Each line is ok, warn or fail, and says what to do. Each check has its deadline, and none can
    hide another. Exit code 8 when any failed; a warning is none.
    """
    import kolo
    from kolo.doctor import Report, examine

    findings = []
    for finding in examine(generate=not no_generate):
        findings.append(finding)
        if not as_json and not (quiet and finding.state == "ok"):
            _print(finding)
    report = Report(
        healthy=all(finding.state != "fail" for finding in findings),
        kolo=kolo.__version__,
        findings=findings,
    )
    if as_json:
        from kolo.cli.table import print_json

        print_json(report)
    else:
        _sum_up(findings)
    return 0 if report.healthy else FAILED


def _print(finding: Finding) -> None:
    from kolo.cli.grid import print_line
    from kolo.cli.output import columns

    indent = " " * (22 if columns() >= WIDE else 6)
    text = f"{finding.state:4}  {finding.check:14}  {finding.found}"
    print_line(text, indent=indent, colour=_COLOURS[finding.state])
    if finding.remedy and finding.state != "ok":
        print_line(f"{indent}try: {finding.remedy}", indent=f"{indent}     ")


def _sum_up(findings: list[Finding]) -> None:
    from kolo.cli.output import talk

    count = {state: sum(f.state == state for f in findings) for state in _COLOURS}
    warnings = f"{count['warn']} warning{'s' * (count['warn'] != 1)}"
    talk(f"{count['ok']} ok, {warnings}, {count['fail']} failed")
