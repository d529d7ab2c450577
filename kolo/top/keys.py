"""Every key and what it does: one table for the help, the palette and the screen's bindings."""

from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    keys: str
    """As Textual calls them, with commas between."""
    shown: str
    action: str
    meaning: str
    group: str
    acts: bool = False
    """It changes something at the server; hidden with --readonly."""


KEYS = (
    Key("up,k", "↑ k", "move(-1)", "one row up", "Move"),
    Key("down,j", "↓ j", "move(1)", "one row down", "Move"),
    Key("pageup,ctrl+b", "PgUp", "move(-10)", "ten rows up", "Move"),
    Key("pagedown,ctrl+f", "PgDn", "move(10)", "ten rows down", "Move"),
    Key("home", "Home", "move(-100000)", "the first row", "Move"),
    Key("end,G", "End G", "move(100000)", "the last row", "Move"),
    Key("tab", "Tab", "next_panel(1)", "the next list, or the next engine's log", "Move"),
    Key("shift+tab", "S-Tab", "next_panel(-1)", "the one before", "Move"),
    Key("enter", "Enter", "open", "the chosen engine or model in full", "Move"),
    Key("escape", "Esc", "leave", "back: from the detail, a filter, a page", "Move"),
    Key("left_square_bracket", "[", "next_page(-1)", "the page before", "Pages"),
    Key("right_square_bracket", "]", "next_page(1)", "the next page", "Pages"),
    Key("d", "d", "page('dashboard')", "dashboard", "Pages"),
    Key("m", "m", "page('models')", "models on disk", "Pages"),
    Key("c", "c", "page('config')", "settings, and where each came from", "Pages"),
    Key("l", "l", "page('logs')", "logs of the engines", "Pages"),
    *(
        Key(str(n), str(n), f"toggle_panel('{name}')", f"show or hide {what}", "Panels")
        for n, name, what in (
            (1, "summary", "the line of all engines together"),
            (2, "gpus", "GPUs, or processor and memory"),
            (3, "engines", "engines"),
            (4, "detail", "the chosen engine"),
            (5, "requests", "requests"),
            (6, "events", "events"),
        )
    ),
    Key("s", "s", "sort(1)", "sort by the next column", "Lists"),
    Key("S", "S", "reverse", "the other way round", "Lists"),
    Key("slash", "/", "filter", "show only what matches; in a log, search", "Lists"),
    Key("f", "f", "cycle_state", "show only one state", "Lists"),
    Key("n", "n", "next_match(1)", "the next that was found in a log", "Lists"),
    Key("N", "N", "next_match(-1)", "the one before", "Lists"),
    Key("F", "F", "follow", "follow a log, or stop", "Lists"),
    Key("space", "Space", "pause", "hold the screen or the recording, go on", "Time"),
    Key("plus,equals_sign", "+", "interval(-1)", "more often, or a recording faster", "Time"),
    Key("minus", "-", "interval(1)", "less often, or a recording slower", "Time"),
    Key("g", "g", "range", "range of the graphs: 1m, 15m, 1h, 24h", "Time"),
    Key("left", "←", "seek(-10)", "10 s back in a recording", "Time"),
    Key("right", "→", "seek(10)", "10 s on in a recording", "Time"),
    Key("r", "r", "record", "begin to record, or end it", "Time"),
    Key("L", "L", "load", "load a model", "Act", True),
    Key("u", "u", "unload", "unload the chosen engine", "Act", True),
    Key("p", "p", "pin", "pin the chosen engine, or unpin it", "Act", True),
    Key("x", "x", "cancel", "cancel the chosen request", "Act", True),
    Key("P", "P", "pull", "fetch a model", "Act", True),
    Key("t", "t", "next_theme", "the next theme", "This program"),
    Key("colon,ctrl+p", ": ^P", "command_palette", "every command by its name", "This program"),
    Key("question_mark,f1,h", "?", "help", "this help", "This program"),
    Key("q,ctrl+c", "q", "quit", "leave", "This program"),
)


def help_lines(*, readonly: bool) -> list[tuple[str, str]]:
    """(keys, meaning) in groups; a group begins with ("", its name)."""
    lines: list[tuple[str, str]] = []
    group = ""
    for key in KEYS:
        if key.acts and readonly:
            continue
        if key.group != group:
            group = key.group
            lines.append(("", group))
        lines.append((key.shown, key.meaning))
    return lines
