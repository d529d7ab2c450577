"""The script for fish: one ``complete`` for each command, option and argument."""

from __future__ import annotations

from collections.abc import Iterator

from kolo.cli.shells.kinds import REFERENCES, Kind
from kolo.cli.shells.tree import Node

_HEAD = """\
# Completion of kolo for fish. Made by "kolo completion fish"; not to be edited.
"""

_ENGINE = r"""
# Which command the line has come to, and how many arguments it has. Asked for each line below, so
# it is worked out once for each line that is typed.
function __kolo_scan
    set -l tokens (commandline -opc)
    if test "$tokens" = "$__kolo_tokens"
        return
    end
    set -g __kolo_tokens $tokens
    set -g __kolo_path kolo
    set -g __kolo_arguments
    set -l skip 0
    set -l only_arguments 0
    for token in $tokens[2..-1]
        if test $skip = 1
            set skip 0
        else if test $only_arguments = 1
            set -a __kolo_arguments $token
        else if test "$token" = --
            set only_arguments 1
        else if string match -q -- '-*' $token
            if contains -- "$__kolo_path $token" $__kolo_valued
                set skip 1
            end
        else if contains -- "$__kolo_path $token" $__kolo_commands
            set __kolo_path "$__kolo_path $token"
            set __kolo_arguments
        else
            set -a __kolo_arguments $token
        end
    end
end

# Whether the line is at a command; with a number, at that argument of it, with "+" or a later one.
function __kolo_at
    __kolo_scan
    test "$__kolo_path" = "$argv[1]"; or return
    set -q argv[2]; or return 0
    set -l next (math (count $__kolo_arguments) + 1)
    if string match -q '*+' $argv[2]
        test $next -ge (string trim -r -c + $argv[2])
    else
        test $next -eq $argv[2]
    end
end

# What only this machine knows: "value<tab>what it is", a line each.
function __kolo_ask
    set -l program (commandline -opc)[1]
    command -sq -- $program; or set program kolo
    $program __complete $argv $__kolo_arguments[1] 2>/dev/null </dev/null
end

complete -c kolo -f
"""


def fish_script(tree: Node) -> str:
    """The whole script."""
    lines = [_HEAD, "set -g __kolo_commands \\"]
    lines += _list(child.path for node in tree.all() for child in node.children)
    lines.append("set -g __kolo_valued \\")
    lines += _list(
        f"{node.path} {flag}"
        for node in tree.all()
        for option in node.options
        if option.kind is not None
        for flag in option.flags
    )
    lines.append(_ENGINE)
    for node in tree.all():
        lines += _node(node)
    return "\n".join(lines) + "\n"


def _list(items: Iterator[str]) -> list[str]:
    found = [f"    {_quoted(item)} \\" for item in items]
    return [*found[:-1], found[-1].removesuffix(" \\")]


def _node(node: Node) -> Iterator[str]:
    for child in node.children:
        yield _line(f'__kolo_at "{node.path}" 1', f"-a {child.name}", child.help)
    for option in node.options:
        flags = []
        for flag in option.flags:
            if flag.startswith("--"):
                flags.append(f"-l {flag[2:]}")
            else:
                flags.append(f"-s {flag[1:]}" if len(flag) == 2 else f"-o {flag[1:]}")
        takes = f" {_takes(option.kind)}" if option.kind is not None else ""
        yield _line(f'__kolo_at "{node.path}"', " ".join(flags) + takes, option.help)
    for number, argument in enumerate(node.arguments, 1):
        if argument.kind.name != "free":
            place = f"{number}+" if argument.many else f"{number}"
            condition = f'__kolo_at "{node.path}" {place}'
            yield _line(condition, _takes(argument.kind, option=False), "")


def _takes(kind: Kind, *, option: bool = True) -> str:
    """The words for ``complete`` that offer a kind; an option needs its value (``-r``)."""
    required = "-r " if option else ""
    match kind.name:
        case "free":
            return "-x"
        case "choice":
            return f"{required}-f -a {_quoted(' '.join(kind.choices))}"
        case "files":
            return f"{required}-F"
        case "folders":
            return f"{required}-f -a '(__fish_complete_directories)'"
        case "hosts":
            return f"{required}-f -a '(__fish_print_hostnames)'"
        case "users":
            return f"{required}-f -a '(__fish_complete_users)'"
        case "models":
            return f"{required}-f -k -a '(__fish_complete_suffix .gguf; __kolo_ask models)'"
        case "references":
            return f"{required}-F -a {_quoted(' '.join(REFERENCES))}"
    return f"{required}-f -a '(__kolo_ask {kind.name})'"


def _line(condition: str, what: str, about: str) -> str:
    described = f" -d {_quoted(about)}" if about else ""
    return f"complete -c kolo -n '{condition}' {what}{described}"


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
