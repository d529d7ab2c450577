"""From GBNF's rules to llguidance's Lark, without changing the language.

llguidance cuts its input into lexemes by longest match; GBNF knows no lexemes. Two translations
are exact all the same. A grammar without recursion and tokens becomes one single lexeme, that
is, a regular expression (microseconds a mask). Any other becomes rules over lexemes of one code
point each, none a prefix of another, so that longest match decides nothing (milliseconds a mask
over a large vocabulary, like llama.cpp's own sampler).

Differences from llama.cpp, each towards caution: a character never matches the text of a
control token, and a grammar with a rule that can never end is refused.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from kolo.engine.constraint.cycles import find_cycle
from kolo.engine.constraint.gbnf import (
    EMPTY,
    Alt,
    Chars,
    Node,
    Ranges,
    Ref,
    Repeat,
    Seq,
    Token,
    TokenLookup,
    alt,
    parse,
    seq,
)
from kolo.errors import BadGrammar

MAX_DEPTH = 1500
"""Sum of the depths of all rules. llguidance's compiler recurses along references and would
overflow an 8 MiB stack at four times this."""

Rules = dict[str, Node]


def gbnf_to_lark(
    text: str, lookup: TokenLookup, eog_tokens: Iterable[int] = (), *, lexeme: bool = True
) -> str:
    """Translate GBNF ``text`` to Lark with start rule ``start``.

    ``lexeme`` False gives rules over single code points even where one lexeme would do: the way
    out when the one lexeme is too large. Raises BadGrammar, with line and column where it can.
    """
    rules, lines = parse(text, lookup)
    rules = _reachable(rules)
    eog = sorted(set(eog_tokens))
    _check(rules, lines, eog)
    rules = _reachable({name: _without_tail_recursion(name, rules[name]) for name in rules})
    regular = not find_cycle({name: set(_refs(body)) for name, body in rules.items()})
    tokens = any(isinstance(node, Token) for body in rules.values() for node in _walk(body))
    return _emit(rules, eog, lexeme=lexeme and regular and not tokens)


# Judging -----------------------------------------------------------------------------------


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Seq(items):
            return items
        case Alt(options):
            return options
        case Repeat(item):
            return (item,)
    return ()


def _walk(node: Node) -> Iterator[Node]:
    yield node
    for child in _children(node):
        yield from _walk(child)


def _refs(node: Node) -> list[str]:
    return [n.name for n in _walk(node) if isinstance(n, Ref)]


def _reachable(rules: Rules) -> Rules:
    found = {"root"}
    queue = ["root"]
    while queue:
        new = set(_refs(rules[queue.pop()])) - found
        found |= new
        queue.extend(new)
    return {name: body for name, body in rules.items() if name in found}


def _check(rules: Rules, lines: dict[str, int], eog: list[int]) -> None:
    """Refuse too much nesting, left recursion, rules that never end, end tokens by name."""
    if (depth := sum(map(_depth, rules.values()))) > MAX_DEPTH:
        raise BadGrammar(
            f"grammar is too large: its rules are {depth} levels deep together, at most "
            f"{MAX_DEPTH} are taken",
            hint="Write fewer or flatter rules.",
            param="grammar",
        )
    nullable = _fixpoint(rules, _may_be_empty)
    if cycle := find_cycle({name: _leftmost(body, nullable) for name, body in rules.items()}):
        raise BadGrammar(
            f"grammar line {lines[cycle[0]]}: rule {cycle[0]!r} is left-recursive "
            f"({' -> '.join(cycle)})",
            hint="Let it begin with something else, or write it as a repetition.",
            param="grammar",
        )
    ending = _fixpoint(rules, _ends)
    if endless := [name for name in rules if name not in ending]:
        raise BadGrammar(
            f"grammar line {lines[endless[0]]}: rule {endless[0]!r} can never end, every "
            f"alternative leads to a rule without end",
            hint="Give it an alternative without recursion.",
            param="grammar",
        )
    for name, body in rules.items():
        for node in _walk(body):
            if isinstance(node, Token) and not node.negated and node.id in eog:
                raise BadGrammar(
                    f"grammar line {lines[name]}: token <[{node.id}]> ends the answer and "
                    f"cannot be part of it",
                    hint="Leave it out: the answer may end wherever the grammar is complete.",
                    param="grammar",
                )


def _fixpoint(rules: Rules, test: Callable[[Node, set[str]], bool]) -> set[str]:
    """The smallest set of rules with ``test(body, set)`` true of each."""
    found: set[str] = set()
    waiting, size = list(rules), -1
    while len(found) > size:
        size = len(found)
        # There and back, as rules lean on those after them or on those before.
        waiting.reverse()
        for name in waiting:
            if test(rules[name], found):
                found.add(name)
        waiting = [name for name in waiting if name not in found]
    return found


def _ends(node: Node, ending: set[str]) -> bool:
    """Whether some finite text matches, given the rules for which that is known."""
    match node:
        case Ref(name):
            return name in ending
        case Seq(items):
            return all(_ends(item, ending) for item in items)
        case Alt(options):
            return any(_ends(option, ending) for option in options)
        case Repeat(item, least):
            return least == 0 or _ends(item, ending)
    return True


def _may_be_empty(node: Node, nullable: set[str]) -> bool:
    match node:
        case Ref(name):
            return name in nullable
        case Seq(items):
            return all(_may_be_empty(item, nullable) for item in items)
        case Alt(options):
            return any(_may_be_empty(option, nullable) for option in options)
        case Repeat(item, least):
            return least == 0 or _may_be_empty(item, nullable)
    return False


def _leftmost(node: Node, nullable: set[str]) -> set[str]:
    """The rules that a match of ``node`` may begin with."""
    match node:
        case Ref(name):
            return {name}
        case Seq(items):
            found: set[str] = set()
            for item in items:
                found |= _leftmost(item, nullable)
                if not _may_be_empty(item, nullable):
                    break
            return found
        case Alt() | Repeat():
            return {name for child in _children(node) for name in _leftmost(child, nullable)}
    return set()


def _depth(node: Node) -> int:
    return 1 + max(map(_depth, _children(node)), default=0)


# Translating -------------------------------------------------------------------------------


def _without_tail_recursion(name: str, body: Node) -> Node:
    """``x ::= a x | b`` as ``x ::= a* b``, the same language (Arden's rule).

    llguidance's parser pays for every open level of right recursion and gives up at 2000.
    """
    if (parts := _split(name, _items(body))) is None or not (again := parts[0]):
        return body
    return seq((Repeat(alt([seq(p) for p in again]), 0, None), alt([seq(p) for p in parts[1]])))


Path = tuple[Node, ...]


def _split(name: str, items: Path) -> tuple[list[Path], list[Path]] | None:
    """Sequences whose tail is ``name`` (without it), and those without ``name``; or neither."""
    if name not in _refs(Seq(items)):
        return [], [items]
    *head, last = items
    if name in _refs(Seq(tuple(head))):
        return None
    match last:
        case Ref():
            return [tuple(head)], []
        case Seq():
            options: tuple[Node, ...] = (last,)
        case Alt():
            options = last.options
        case Repeat(item, 0, 1):
            options = (item, EMPTY)
        case _:
            return None
    again: list[Path] = []
    without: list[Path] = []
    for option in options:
        if (parts := _split(name, _items(option))) is None:
            return None
        again += [(*head, *path) for path in parts[0]]
        without += [(*head, *path) for path in parts[1]]
    return again, without


def _items(node: Node) -> Path:
    return node.items if isinstance(node, Seq) else (node,)


@dataclass(frozen=True)
class _Emitter:
    names: dict[str, str]
    eog: list[int]
    lexeme: bool

    def lark(self, node: Node) -> str:
        match node:
            case Ref(name):
                return self.names[name]
            case Chars(ranges):
                return f"/{_regex_class(ranges)}/"
            case Token(number, negated):
                inner = ",".join(str(i) for i in sorted({number, *self.eog}))
                return f"<[^{inner}]>" if negated else f"<[{number}]>"
            case Seq(items):
                return " ".join(self.sequence(items)) or '""'
            case Alt(options):
                return " | ".join(self.grouped(option) for option in options)
            case Repeat(item, least, most):
                return self.grouped(item) + _times(least, most)

    def sequence(self, items: Path) -> Iterator[str]:
        """The items; within a lexeme, characters in a row as one expression."""
        for chars, run in itertools.groupby(items, lambda item: isinstance(item, Chars)):
            if chars and self.lexeme:
                codes = (_regex_class(item.ranges) for item in run if isinstance(item, Chars))
                yield f"/{''.join(codes)}/"
            else:
                yield from map(self.grouped, run)

    def grouped(self, node: Node) -> str:
        text = self.lark(node)
        return text if isinstance(node, (Ref, Chars, Token)) else f"({text})"


def _emit(rules: Rules, eog: list[int], *, lexeme: bool) -> str:
    letter = "R" if lexeme else "r"
    names = {name: f"{letter}{i}" for i, name in enumerate(rules)}
    emitter = _Emitter(names, eog, lexeme)
    lines = [f"start: {names['root']}"]
    lines += [f"{names[name]}: {emitter.lark(body)}" for name, body in rules.items()]
    return "\n".join(lines)


def _times(least: int, most: int | None) -> str:
    short = {(0, None): "*", (1, None): "+", (0, 1): "?"}.get((least, most))
    upper = "" if most is None else str(most)
    return short or f"{{{least},{upper}}}"


def _regex_class(ranges: Ranges) -> str:
    if len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        return rf"\x{{{ranges[0][0]:x}}}"
    return "[" + "".join(rf"\x{{{a:x}}}-\x{{{b:x}}}" for a, b in ranges) + "]"
