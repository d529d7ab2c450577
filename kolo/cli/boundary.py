"""The error boundary: whatever a command raises becomes three lines and an exit code.

::

    error: what is wrong
      more about it, when there is more
      try: what to do next

``KOLO_DEBUG=1`` puts the traceback before them. stdout is data and is never written here.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import NamedTuple

import click

from kolo.cli.output import STDOUT

EXIT_CODES: dict[int, str] = {
    0: "it worked",
    1: "it failed",
    2: "the command line, the input or the configuration is wrong",
    3: "the server, or the source of a model, cannot be reached",
    4: "the model is not there",
    5: "out of memory",
    6: "not authorised",
    7: "out of time (--timeout)",
    8: "a check failed, or the result is only a part (the answer was cut by the length limit)",
    129: "the terminal was closed (SIGHUP)",
    130: "stopped with Ctrl-C (SIGINT)",
    141: "whoever read the output went away (SIGPIPE)",
    143: "told to stop (SIGTERM)",
}


OPTIONS: dict[str, str] = {
    "grammar": "--grammar",
    "json_schema": "--schema",
    "max_tokens": "--max-tokens",
    "messages": "PROMPT",
    "min_p": "--min-p",
    "model": "--model",
    "prompt": "PROMPT",
    "temperature": "--temp",
    "top_k": "--top-k",
    "top_p": "--top-p",
}
"""What a field of a request is called on the command line, unless the command has a parameter of
its name."""


class Stopped(BaseException):
    """A signal ended the command; raised when everything is cleaned up."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


class Complaint(NamedTuple):
    """An error as the person at the terminal reads it. An empty ``what`` is not shown."""

    what: str
    details: list[str]
    hint: str
    exit_code: int


def run(argv: list[str]) -> int:
    """Run ``kolo argv`` and return its exit code; nothing is raised but SystemExit."""
    from kolo.cli.output import prepare_streams

    command: click.Command | None = None
    prepare_streams()
    try:
        from kolo.cli.root import root

        with root.make_context("kolo", list(argv)) as ctx:
            try:
                code = root.invoke(ctx)
            except Exception:
                command = root.get_command(ctx, ctx.invoked_subcommand or "")
                raise
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (Exception, KeyboardInterrupt, Stopped) as error:
        return report(error, command)


def report(error: BaseException, command: click.Command | None = None) -> int:
    """Tell the person at the terminal, and return the exit code."""
    from kolo.cli.output import drop_stdout, talk

    drop_stdout()
    expected = isinstance(error, (BrokenPipeError, Stopped))
    if os.environ.get("KOLO_DEBUG") == "1" and not expected:
        import traceback

        talk("".join(traceback.format_exception(error)).rstrip("\n"))
    complaint = explain(error, command)
    if complaint.what:
        talk(render(complaint))
    return complaint.exit_code


def explain(error: BaseException, command: click.Command | None = None) -> Complaint:
    """What to say of ``error``, in the words of ``command`` if one was running."""
    if isinstance(error, Stopped):
        return Complaint("", [], "", error.exit_code)
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return Complaint("", [], "", 130)
    if isinstance(error, BrokenPipeError):
        return Complaint("", [], "", 141)
    if isinstance(error, click.ClickException):
        return _explain_click(error, command)
    if isinstance(error, OSError) and error.filename == STDOUT:
        return _unwritten(error)
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return Complaint(f"{error.strerror}{where}", [], "", 1)

    from kolo.errors import KoloError, internal

    ours = error if isinstance(error, KoloError) else internal(error)
    what, *details = ours.message.splitlines() or [type(ours).__name__]
    if ours.param and ours.param not in ours.message and (typed := _typed(ours.param, command)):
        details.append(f"in: {typed}")
    hint, *more = ours.hint.splitlines() or [""]
    if more:  # an account of what happened, such as a dead worker's last lines
        return Complaint(what, [*details, hint, *more], "", ours.exit_code)
    return Complaint(what, details, _advice(hint), ours.exit_code)


def _typed(field: str, command: click.Command | None) -> str:
    """A field of a request as the person typed it: an option, an argument's name. Empty where
    the command has no option for it."""
    for param in command.params if command is not None else ():
        if isinstance(param, click.Argument) and param.name in (field, f"{field}s"):
            return param.human_readable_name.strip("[].")
        if param.name == field:
            return next((opt for opt in param.opts if opt.startswith("--")), field)
    option = OPTIONS.get(field, field)
    there = command is None or any(option in param.opts for param in command.params)
    return option if there or not option.startswith("-") else ""


def _advice(hint: str) -> str:
    """A hint, which may be a sentence, as it reads after "try:"."""
    if hint.startswith("Did you mean ") and "?" in hint:
        near, _, more = hint.removeprefix("Did you mean ").partition("?")
        return f"{near}; {_advice(more.strip())}" if more.strip() else near
    return hint[:1].lower() + hint[1:] if hint[1:2].islower() else hint


def render(complaint: Complaint) -> str:
    """The lines, without the last line break."""
    lines = [f"error: {complaint.what}"]
    lines += [f"  {line}" for line in complaint.details]
    if complaint.hint:
        lines.append(f"  try: {complaint.hint}")
    return "\n".join(lines)


def _unwritten(error: OSError) -> Complaint:
    """stdout does not take what there is to say."""
    if error.errno == errno.EBADF:
        return Complaint("standard output is closed", [], "the same without >&-", 1)
    return Complaint(f"cannot write to standard output: {error.strerror}", [], "", 1)


def _explain_click(error: click.ClickException, command: click.Command | None) -> Complaint:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else f"kolo {command.name}" if command else ""
    hint = f"{path} --help" if path else ""
    if isinstance(error, click.NoSuchOption):
        if error.possibilities:
            hint = f"{' or '.join(error.possibilities)}; '{hint}' lists all"
        return Complaint(f"no such option: {error.option_name}", [], hint, error.exit_code)
    if isinstance(error, click.exceptions.NoSuchCommand):
        if error.possibilities and context:
            near = f"{context.command_path} {error.possibilities[0]}"
            hint = f"{near}, or '{hint}' for all"
        return Complaint(f"no such command: {error.command_name!r}", [], hint, error.exit_code)
    what, *details = error.format_message().rstrip(".").splitlines()
    return Complaint(what[:1].lower() + what[1:], details, hint, error.exit_code)
