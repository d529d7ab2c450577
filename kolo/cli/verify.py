"""``kolo verify``: whether the files of the store are still what was fetched."""

from __future__ import annotations

import click

from kolo.cli.grid import print_line
from kolo.cli.options import Text
from kolo.cli.output import Status, talk
from kolo.cli.remote import json_option
from kolo.cli.root import Command
from kolo.cli.stored import stored_model
from kolo.cli.table import print_json
from kolo.config import load_settings
from kolo.models.manifest import Stored
from kolo.models.store import Store, need_store
from kolo.models.upkeep import Finding, problems, verify


@click.command(
    "verify",
    cls=Command,
    short_help="Check stored models against their sums.",
    examples=[
        ("kolo verify", "every model of the store"),
        ("kolo verify qwen2.5:0.5b --json", "one, for a script; exit code 8 if it is bad"),
    ],
)
@click.argument("names", type=Text(), metavar="[NAME]...", nargs=-1)
@click.option("--all-versions", is_flag=True, help="Former versions too.")
@json_option("An array: name, version, file, path, state, detail.")
def command(names: tuple[str, ...], all_versions: bool, as_json: bool) -> int:
    """Read the files of models in the store again and compare their SHA-256.

    A file that was registered where it is has no sum: it must be as large and as old as it was
    then, and a sound GGUF. Exit code 8 when anything is bad.
    """
    settings = load_settings()
    store = need_store(settings)
    if names:
        chosen = [stored_model(name, settings, store, "verify") for name in names]
    else:
        chosen = [stored for _, stored in sorted(store.models().items())]
    if not chosen:
        talk(f"the store is empty: {store.folder}")
    findings = _verify(store, chosen, all_versions)
    remarks = [] if names else problems(store.folder)
    bad = [finding for finding in findings if finding.bad]
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            print_line(_line(finding))
        for remark in remarks:
            talk(remark)
        _advise(bad, store)
    return 8 if bad or remarks else 0


def _verify(store: Store, chosen: list[Stored], all_versions: bool) -> list[Finding]:
    total = sum(
        version.size_bytes
        for stored in chosen
        for version in (stored.versions if all_versions else (stored.version,))
        if not version.in_place
    )
    status = Status()
    done = 0

    def told(file: str, n_bytes: int) -> None:
        nonlocal done
        done += n_bytes
        status.show(f"reading {file}", min(done / total, 1.0) if total else None)

    findings: list[Finding] = []
    try:
        for stored in chosen:
            findings += verify(store, stored, every_version=all_versions, told=told)
    finally:
        status.clear()
    return findings


def _line(finding: Finding) -> str:
    detail = f": {finding.detail}" if finding.detail else ""
    return f"{finding.state:8}  {finding.name}  {finding.file}{detail}"


def _advise(bad: list[Finding], store: Store) -> None:
    for name in dict.fromkeys(finding.name for finding in bad):
        source = store.get(name).version.source
        talk(f"  try: kolo rm {name} && kolo pull {source}")
