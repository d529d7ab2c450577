"""Cycles in a graph of names: left recursion in a grammar, references that go in circles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set


def find_cycle(graph: Mapping[str, Set[str]]) -> list[str]:
    """A cycle of ``graph``, its first name repeated at its end; empty if there is none.

    Every name pointed to is a key. Without recursion: graphs come from strangers.
    """
    done: set[str] = set()
    for start in graph:
        path: dict[str, Iterator[str]] = {} if start in done else {start: iter(graph[start])}
        while path:
            name = next(reversed(path))
            following = next(path[name], None)
            if following is None:
                del path[name]
                done.add(name)
            elif following in path:
                names = list(path)
                return [*names[names.index(following) :], following]
            elif following not in done:
                path[following] = iter(sorted(graph[following]))
    return []
