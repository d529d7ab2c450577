"""What a reader must be told of a run, and the exit code that it deserves."""

from __future__ import annotations

from kolo.bench.host import BUSY
from kolo.bench.metrics import answered
from kolo.bench.result import ErrorKind, Run, Sample, Target

CHECK_FAILED = 8
CACHED = 0.02
"""Beginnings of prompts that are alike by chance are no more than this share."""
CLIENT_BUSY = 0.5
"""A client that takes more of a core than this is in the way of what it measures."""
LATE_MS = 20.0
BUNCHED = 3.0
"""Tokens that come in one read on average, from which on times between tokens mean little."""
_EXIT: dict[ErrorKind, int] = {"unreachable": 3, "auth": 6, "not_found": 4, "timeout": 7}


def exit_code_of(run: Run) -> int:
    """0 when all went well. When nothing did, what its errors say; else 8 if some requests
    failed or goals held at no load."""
    samples = _samples(run)
    kinds = [sample.error for sample in samples if sample.error is not None]
    if kinds and len(kinds) == len(samples):
        common = max(set(kinds), key=kinds.count)
        return _EXIT.get(common, 1)
    missed = bool(run.goals) and not any(row.goals_met for row in run.summary)
    return CHECK_FAILED if kinds or missed else 0


def notes_on(run: Run) -> list[str]:
    """Doubts about the numbers that the run itself can tell."""
    doubts = (_on_lengths, _on_caches, _on_counting, _on_slots, _on_bunches, _on_client)
    return [note for doubt in doubts for note in doubt(run)]


def _on_lengths(run: Run) -> list[str]:
    notes = []
    for target in run.targets:
        for info in run.workloads:
            if info.kind != "fixed":
                continue
            answers = _answers(run, target, info.name)
            for what, wanted, found in (
                ("prompts", info.prompt_tokens, {one.prompt_tokens for one in answers}),
                ("answers", info.output_tokens, {one.output_tokens for one in answers}),
            ):
                counted = sorted(one for one in found if one is not None)
                if counted and (counted[0], counted[-1]) != (wanted, wanted):
                    notes.append(
                        f"{target.name}: {what} had {counted[0]} to {counted[-1]} tokens, "
                        f"not {wanted}"
                    )
    return notes


def _on_caches(run: Run) -> list[str]:
    if run.cached:
        return []
    notes = []
    for target in run.targets:
        fixed = [info.name for info in run.workloads if info.kind == "fixed"]
        answers = [one for name in fixed for one in _answers(run, target, name)]
        cached = sum(one.cached_tokens or 0 for one in answers)
        prompt = sum(one.prompt_tokens or 0 for one in answers)
        if prompt and cached / prompt > CACHED:
            share = f"{cached / prompt:.0%}".replace("%", " %")
            notes.append(f"{target.name}: {share} of the prompt tokens came from a cache")
    return notes


def _on_counting(run: Run) -> list[str]:
    notes = []
    for target in run.targets:
        if any(one.counted == "pieces" for one in _answers(run, target)):
            notes.append(
                f"{target.name} tells no usage: its pieces were counted in place of tokens"
            )
        elif not target.exact_prompts and any(info.prompt_tokens for info in run.workloads):
            notes.append(
                f"{target.name} has no /tokenize: the lengths of prompts are near, not exact"
            )
    return notes


def _on_slots(run: Run) -> list[str]:
    notes = []
    for target in run.targets:
        users = [cell.load.concurrency or 0 for cell in run.cells if cell.target == target.name]
        if target.slots and users and max(users) > target.slots:
            private = target.kind == "private"
            notes.append(
                f"{target.name}: {max(users)} users on {target.slots} slots, so some wait"
                + (f" (--parallel {max(users)} gives each one)" if private else "")
            )
    return notes


def _on_bunches(run: Run) -> list[str]:
    notes = []
    for target in run.targets:
        answers = _answers(run, target)
        reads = sum(len(one.gaps_ms) + 1 for one in answers)
        tokens = sum(one.output_tokens for one in answers)
        if reads and tokens / reads > BUNCHED:
            notes.append(
                f"{target.name}: {tokens / reads:.0f} tokens came in one read on average: ITL and "
                "tok/s user say little of when they were made"
            )
    return notes


def _on_client(run: Run) -> list[str]:
    notes = []
    rounds = [round for cell in run.cells for round in cell.rounds]
    most = max((round.client_cpu for round in rounds), default=0.0)
    if most > CLIENT_BUSY:
        notes.append(
            f"the measuring itself took up to {most:.0%} of a core".replace("%", " %")
            + ": servers of the same machine are slower for it"
        )
    late = sorted(sample.late_ms for sample in _samples(run))
    if late and late[len(late) * 95 // 100] > LATE_MS:
        notes.append(f"requests were sent up to {late[-1]:.0f} ms late: the client fell behind")
    if run.host.load_before is not None and run.host.load_before > BUSY:
        share = f"{run.host.load_before:.0%}".replace("%", " %")
        notes.append(f"the machine was busy before the run ({share}): expect noise")
    return notes


def _answers(run: Run, target: Target, workload: str | None = None) -> list[Sample]:
    """What a target answered, to one workload or to all."""
    cells = [cell for cell in run.cells if cell.target == target.name]
    if workload is not None:
        cells = [cell for cell in cells if cell.workload == workload]
    return [one for cell in cells for round in cell.rounds for one in answered(round.samples)]


def _samples(run: Run) -> list[Sample]:
    return [s for cell in run.cells for round in cell.rounds for s in round.samples]
