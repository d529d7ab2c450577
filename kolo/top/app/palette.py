"""What each role looks like in a theme.

Colours are blended from the theme's own, so that every theme fits. Without colours (16-colour
themes, NO_COLOR) roles are told apart by the terminal's own sixteen, or by bold, dim and reverse.
"""

from __future__ import annotations

from rich.color import Color as RichColor
from rich.style import Style
from textual.color import Color
from textual.theme import Theme

DARK = Theme(
    name="kolo-dark",
    primary="#7aa2c8",
    secondary="#8fb39a",
    accent="#c8a97a",
    warning="#d9a85b",
    error="#d97a72",
    success="#86b88f",
    foreground="#d3d7de",
    background="#15181d",
    surface="#1c2027",
    panel="#242a33",
    dark=True,
)
LIGHT = Theme(
    name="kolo-light",
    primary="#2f6699",
    secondary="#3c7a52",
    accent="#8a6322",
    warning="#9a6410",
    error="#b23a32",
    success="#357a45",
    foreground="#23282f",
    background="#fafaf7",
    surface="#f0f0ec",
    panel="#e4e5e0",
    dark=False,
)

_BARE = {
    "dim": "dim", "faint": "dim", "strong": "bold", "brand": "bold", "title": "bold",
    "title-focus": "bold reverse", "heading": "dim underline", "heading-sorted": "bold underline",
    "warn": "bold", "bad": "bold reverse", "accent": "bold", "key": "bold", "border": "dim",
    "border-focus": "", "bar-empty": "dim", "bar-held": "dim", "cursor": "reverse",
    "chosen": "bold", "stale": "dim", "tab": "dim", "tab-on": "bold reverse",
    "good-badge": "reverse", "warn-badge": "bold reverse", "bad-badge": "bold reverse",
    "dim-badge": "reverse", "match": "reverse", "match-on": "bold reverse",
}  # fmt: skip
_SIXTEEN = {
    **_BARE,
    "good": "green", "warn": "yellow", "bad": "red", "accent": "magenta", "in": "cyan",
    "out": "green", "bar": "blue", "graph-out": "green", "graph-in": "cyan",
    "graph-ttft": "yellow", "graph-kv": "magenta", "graph-gpu": "blue", "key": "bold blue",
    "title": "bold", "title-focus": "bold blue", "border-focus": "blue", "brand": "bold blue",
    "good-badge": "black on green", "warn-badge": "black on yellow", "bad-badge": "white on red",
    "dim-badge": "reverse", "tab-on": "bold blue", "match": "black on yellow",
    "match-on": "bold black on yellow",
}  # fmt: skip


class Palette:
    """Styles by role; ``a+b`` lays b over a."""

    def __init__(self, theme: Theme, *, colour: bool = True) -> None:
        if not colour:
            self._styles = {role: Style.parse(text) for role, text in _BARE.items()}
            self.base = Style.null()
        elif theme.ansi:
            self._styles = {role: Style.parse(text) for role, text in _SIXTEEN.items()}
            self.base = Style.null()
        else:
            self._styles, self.base = _blended(theme)
        self._cache: dict[str, Style] = {}

    def style(self, role: str) -> Style:
        found = self._cache.get(role)
        if found is None:
            found = self.base
            for part in role.split("+"):
                found += self._styles.get(part, Style.null())
            self._cache[role] = found
        return found


def _blended(theme: Theme) -> tuple[dict[str, Style], Style]:
    system = theme.to_color_system().generate()

    def colour(name: str) -> Color:
        return Color.parse(system[name])

    back, front = colour("background"), colour("foreground")
    primary, accent = colour("primary"), colour("accent")
    good, warn, bad = colour("success"), colour("warning"), colour("error")
    second = colour("secondary")
    if second.get_contrast_text(1.0) == front or _distance(second, back) < 60:
        second = primary
    cool = primary.blend(good, 0.35)

    def fore(tone: Color, *, bold: bool | None = None) -> Style:
        return Style(color=_rich(tone), bold=bold)

    def badge(tone: Color) -> Style:
        return Style(color=_rich(back), bgcolor=_rich(tone), bold=True)

    def mix(tone: Color, share: float) -> Color:
        """``tone`` with ``share`` of the background in it."""
        return tone.blend(back, share)

    styles = {
        "dim": fore(mix(front, 0.42)),
        "faint": fore(mix(front, 0.60)),
        "strong": fore(front, bold=True),
        "brand": fore(primary, bold=True),
        "title": fore(mix(front, 0.12), bold=True),
        "title-focus": fore(primary, bold=True),
        "heading": fore(mix(front, 0.50)),
        "heading-sorted": fore(primary),
        "border": fore(mix(front, 0.80)),
        "border-focus": fore(mix(primary, 0.35)),
        "key": fore(mix(primary, 0.10)),
        "good": fore(good),
        "warn": fore(warn),
        "bad": fore(bad),
        "accent": fore(accent),
        "in": fore(cool),
        "out": fore(good),
        "bar": fore(mix(primary, 0.15)),
        "bar-held": fore(mix(front, 0.60)),
        "bar-empty": fore(mix(front, 0.86)),
        "graph-out": fore(mix(good, 0.18)),
        "graph-in": fore(mix(cool, 0.18)),
        "graph-ttft": fore(mix(accent, 0.18)),
        "graph-kv": fore(mix(second, 0.18)),
        "graph-gpu": fore(mix(primary, 0.18)),
        "cursor": Style(bgcolor=_rich(back.blend(primary, 0.28)), bold=True),
        "chosen": Style(bgcolor=_rich(back.blend(front, 0.07))),
        "stale": fore(mix(front, 0.58)),
        "tab": fore(mix(front, 0.50)),
        "tab-on": Style(color=_rich(front), bgcolor=_rich(back.blend(primary, 0.25)), bold=True),
        "good-badge": badge(good),
        "warn-badge": badge(warn),
        "bad-badge": badge(bad),
        "dim-badge": badge(mix(front, 0.35)),
        "match": Style(bgcolor=_rich(back.blend(warn, 0.35))),
        "match-on": Style(color=_rich(back), bgcolor=_rich(warn), bold=True),
    }
    return styles, Style(color=_rich(front), bgcolor=_rich(back))


def _rich(colour: Color) -> RichColor:
    return RichColor.from_rgb(*colour.rgb)


def _distance(one: Color, two: Color) -> int:
    return sum(abs(a - b) for a, b in zip(one.rgb, two.rgb, strict=True))
