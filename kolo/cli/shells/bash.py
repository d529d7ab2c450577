"""The script for bash, which needs nothing but bash 4."""

from __future__ import annotations

from collections.abc import Iterator

from kolo.cli.shells.kinds import REFERENCES, Kind
from kolo.cli.shells.tree import Node

_HEAD = """\
# Completion of kolo for bash. Made by "kolo completion bash"; not to be edited.
"""

_ENGINE = r"""
# The words up to the cursor. bash breaks them at : and = too; what has no blank between it in the
# line belongs together.
__kolo_split() {
    local rest=${COMP_LINE:0:COMP_POINT} part i
    words=()
    for ((i = 0; i <= COMP_CWORD; i++)); do
        part=${COMP_WORDS[i]}
        if ((i == 0)) || [[ $rest == [[:blank:]]* ]]; then
            rest=${rest#"${rest%%[![:blank:]]*}"}
            words+=("")
        fi
        ((i == COMP_CWORD)) && part=$rest
        words[${#words[@]} - 1]+=$part
        rest=${rest#"$part"}
    done
    current=${words[${#words[@]} - 1]}
}

__kolo_ask() {
    local program=${COMP_WORDS[0]/#\~/$HOME}
    type -P -- "$program" >/dev/null || program=kolo
    "$program" __complete "$@" 2>/dev/null </dev/null
}

# Takes a candidate if it begins with what was typed. Names may have signs that mean something to
# the shell.
__kolo_take() {
    [[ $1 == "$typed"* ]] || return
    if [[ -z $quote ]]; then
        printf -v REPLY '%q' "$1"
        REPLY=${REPLY//\\\~/\~}
    else
        REPLY=$1
    fi
    COMPREPLY+=("$before$REPLY")
}

__kolo_files() {
    local file
    compopt -o filenames 2>/dev/null
    while IFS= read -r file; do
        COMPREPLY+=("$before$file")
    done < <(compgen "$1" -- "$typed")
}

# Offers what a kind of value has to offer.
__kolo_offer() {
    local kind=$1 value
    case $kind in
        '' | free) ;;
        =*) for value in ${kind#=}; do __kolo_take "$value"; done ;;
        files) __kolo_files -f ;;
        folders) __kolo_files -d ;;
        hosts) while IFS= read -r value; do __kolo_take "$value"; done < <(compgen -A hostname) ;;
        users) while IFS= read -r value; do __kolo_take "$value"; done < <(compgen -u) ;;
        references)
            for value in @REFERENCES@; do __kolo_take "$value"; done
            __kolo_files -f
            ;;
        *)
            if [[ $kind != models || $typed != [./~]* ]]; then
                while IFS=$'\t' read -r value _; do
                    __kolo_take "$value"
                done < <(__kolo_ask "$kind" "${arguments[0]}")
            fi
            [[ $kind == models && ${#COMPREPLY[@]} -eq 0 ]] && __kolo_files -f
            ;;
    esac
}

_kolo() {
    local words current path=kolo __kolo_kind='' __kolo_names='' arguments=() only_arguments=''
    local before='' typed='' quote='' word value i head breaks REPLY
    COMPREPLY=()
    __kolo_split
    for ((i = 1; i < ${#words[@]} - 1; i++)); do
        word=${words[i]}
        if [[ -n $__kolo_kind ]]; then
            __kolo_kind=''
        elif [[ $only_arguments ]]; then
            arguments+=("$word")
        elif [[ $word == -- ]]; then
            only_arguments=1
        elif [[ $word == -* ]]; then
            __kolo_option "$path" "$word"
        else
            __kolo_commands "$path"
            if [[ " $__kolo_names " == *" $word "* ]]; then
                path+=" $word"
                arguments=()
            else
                arguments+=("${word//[\"\']/}")
            fi
        fi
    done

    typed=$current
    if [[ -z $__kolo_kind && -z $only_arguments && $typed == --*=* ]]; then
        before=${typed%%=*}=
        typed=${typed#*=}
        __kolo_option "$path" "${before%=}"
        [[ -n $__kolo_kind ]] || return 0
    fi
    [[ $typed == [\"\']* ]] && quote=${typed:0:1} typed=${typed:1}
    if [[ -n $__kolo_kind ]]; then
        __kolo_offer "$__kolo_kind"
    elif [[ $typed == -* && -z $only_arguments ]]; then
        __kolo_options "$path"
        for value in $__kolo_names; do __kolo_take "$value"; done
    else
        if ((${#arguments[@]} == 0)); then
            __kolo_commands "$path"
            for value in $__kolo_names; do __kolo_take "$value"; done
        fi
        __kolo_argument "$path" "$((${#arguments[@]} + 1))"
        __kolo_offer "$__kolo_kind"
    fi

    # bash puts in place of the part after the last : or = alone.
    breaks=${COMP_WORDBREAKS//[!:=]/}
    head=$current
    while [[ -n $head && $breaks != *"${head: -1}"* ]]; do head=${head%?}; done
    for i in "${!COMPREPLY[@]}"; do
        COMPREPLY[i]=${COMPREPLY[i]#"$head"}
        [[ -n ${COMPREPLY[i]} ]] || unset "COMPREPLY[i]"
    done
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[*]} == *[:/] ]] && compopt -o nospace 2>/dev/null
    return 0
}

complete -F _kolo kolo
"""


def bash_script(tree: Node) -> str:
    """The whole script."""
    return "".join(
        [
            _HEAD,
            _function(
                "__kolo_commands",
                "The commands right below one.",
                '"$1"',
                "__kolo_names",
                (
                    (f"'{node.path}'", " ".join(child.name for child in node.children))
                    for node in tree.all()
                    if node.children
                ),
            ),
            _function(
                "__kolo_options",
                "The options of a command.",
                '"$1"',
                "__kolo_names",
                ((f"'{node.path}'", " ".join(_long_flags(node))) for node in tree.all()),
            ),
            _function(
                "__kolo_option",
                "What an option of a command takes; nothing for a flag.",
                '"$1 $2"',
                "__kolo_kind",
                _option_kinds(tree),
            ),
            _function(
                "__kolo_argument",
                "What an argument of a command is, by its number.",
                '"$1 $2"',
                "__kolo_kind",
                _argument_kinds(tree),
            ),
            _ENGINE.replace("@REFERENCES@", " ".join(REFERENCES)),
        ]
    )


def _function(
    name: str, about: str, subject: str, result: str, cases: Iterator[tuple[str, str]]
) -> str:
    lines = [f"\n# {about}", f"{name}() {{", f"    case {subject} in"]
    lines += [f"        {pattern}) {result}='{value}' ;;" for pattern, value in cases]
    lines += [f"        *) {result}='' ;;", "    esac", "}", ""]
    return "\n".join(lines)


def _long_flags(node: Node) -> Iterator[str]:
    for option in node.options:
        long = [flag for flag in option.flags if flag.startswith("--")]
        yield from long or option.flags


def _option_kinds(tree: Node) -> Iterator[tuple[str, str]]:
    for node in tree.all():
        for option in node.options:
            if option.kind is not None:
                pattern = " | ".join(f"'{node.path} {flag}'" for flag in option.flags)
                yield pattern, _kind(option.kind)


def _argument_kinds(tree: Node) -> Iterator[tuple[str, str]]:
    for node in tree.all():
        for number, argument in enumerate(node.arguments, 1):
            if argument.kind.name != "free":
                place = f"'{node.path} '*" if argument.many else f"'{node.path} {number}'"
                yield place, _kind(argument.kind)


def _kind(kind: Kind) -> str:
    return f"={' '.join(kind.choices)}" if kind.name == "choice" else kind.name
