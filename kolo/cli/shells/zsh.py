"""The script for zsh: a function for each command, by ``_arguments``."""

from __future__ import annotations

from collections.abc import Iterator

from kolo.cli.completing import WITH_ARGUMENT
from kolo.cli.shells.kinds import REFERENCES, Kind
from kolo.cli.shells.tree import Argument, Node, Option

_HEAD = """\
#compdef kolo
# Completion of kolo for zsh. Made by "kolo completion zsh"; not to be edited.
"""

_ENGINE = r"""
# What only this machine knows: "value<tab>what it is", a line each.
__kolo_ask() {
    local -a lines described
    local line
    lines=("${(@f)$(_call_program kolo ${(q)__kolo_program} __complete ${(q)@} 2>/dev/null)}")
    for line in $lines; do
        if [[ $line == *$'\t'* ]]; then
            described+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
        else
            described+=("${line//:/\\:}")
        fi
    done
    (( $#described )) && _describe -t "kolo-$1" "${1//-/ }" described
}

__kolo_models() {
    [[ $PREFIX != (*/*|.*|\~*) ]] && __kolo_ask models && return
    _files -g '*.(gguf|GGUF)(-.)'
}

__kolo_references() {
    local -a kinds=(@REFERENCES@)
    _alternative 'kinds:source:compadd -S "" -a kinds' 'files:file:_files'
}
"""

_TAIL = """
_kolo_main() {
    local __kolo_program=${~${(Q)words[1]}}
    (( $+commands[$__kolo_program] )) || [[ -x $__kolo_program ]] || __kolo_program=kolo
    _kolo "$@"
}

if [[ $funcstack[1] == _kolo ]]; then
    _kolo_main "$@"
else
    compdef _kolo_main kolo
fi
"""


def zsh_script(tree: Node) -> str:
    """The whole script. It may be sourced, or lie in ``fpath`` as ``_kolo``."""
    functions = [_function(node) for node in reversed(list(tree.all()))]
    engine = _ENGINE.replace("@REFERENCES@", " ".join(f"'{each}'" for each in REFERENCES))
    return "".join([_HEAD, engine, *functions, _TAIL])


def _function(node: Node) -> str:
    name = "_" + node.path.replace(" ", "_").replace("-", "_")
    specs = [spec for option in node.options for spec in _option(option)]
    specs += [_argument(number, argument) for number, argument in enumerate(node.arguments, 1)]
    lines = [f"\n{name}() {{"]
    if node.children:
        specs += ["'1: :->command'", "'*:: :->rest'"]
        lines += ["    local curcontext=$curcontext state line", "    typeset -A opt_args"]
    states = sorted({each.kind.name for each in node.arguments if each.kind.name in WITH_ARGUMENT})
    states += sorted(
        {each.kind.name for each in node.options if each.kind and each.kind.name in WITH_ARGUMENT}
    )
    if states:
        lines.append("    local state line")
        lines.append("    typeset -A opt_args")
    lines.append(f"    _arguments {'-C ' if node.children else ''}-S -s \\")
    lines += [f"        {spec} \\" for spec in specs]
    lines[-1] = lines[-1].removesuffix(" \\")
    if node.children or states:
        lines[-1] += " && return"
        lines.append("    case $state in")
        lines += [f'        {state}) __kolo_ask {state} "$line[1]" ;;' for state in states]
        if node.children:
            lines += list(_commands(node, name))
        lines.append("    esac")
    return "\n".join([*lines, "}", ""])


def _commands(node: Node, name: str) -> Iterator[str]:
    yield "        command)"
    yield "            local -a commands=("
    for child in node.children:
        yield f"                {_quoted(f'{child.name}:{child.help}')}"
    yield "            )"
    yield "            _describe -t commands command commands"
    yield "            ;;"
    yield "        rest)"
    yield "            case $line[1] in"
    for child in node.children:
        function = f"{name}_{child.name.replace('-', '_')}"
        yield f"                {child.name}) {function} ;;"
    yield "            esac"
    yield "            ;;"


def _option(option: Option) -> Iterator[str]:
    about = _escaped(option.help)
    for flag in option.flags:
        takes = ("=" if flag.startswith("--") else "+") if option.kind is not None else ""
        others = "*" if option.many else f"({' '.join(option.flags)})"
        value = f":{_escaped(option.word)}:{_action(option.kind)}" if option.kind else ""
        yield _quoted(f"{others}{flag}{takes}[{about}]{value}")


def _argument(number: int, argument: Argument) -> str:
    place = "*" if argument.many else str(number)
    return _quoted(f"{place}:{_escaped(argument.word)}:{_action(argument.kind)}")


def _action(kind: Kind) -> str:
    if kind.name in WITH_ARGUMENT:
        return f"->{kind.name}"
    match kind.name:
        case "free":
            return " "
        case "choice":
            return f"({' '.join(_escaped(each) for each in kind.choices)})"
        case "files":
            return "_files"
        case "folders":
            return "_files -/"
        case "hosts":
            return "_hosts"
        case "users":
            return "_users"
        case "models":
            return " __kolo_models"
        case "references":
            return " __kolo_references"
    return f" __kolo_ask {kind.name}"


def _escaped(text: str) -> str:
    for sign in "\\[]:":
        text = text.replace(sign, f"\\{sign}")
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
