"""How diagrams look: a light and a dark palette by operator family, and the text of HTML-like labels.

Pastel fills with a dark border of the same hue in light, the reverse in dark, so that both keep their contrast
on paper and on a screen. Every text that comes from a spec passes through `escape`.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal
from unicodedata import east_asian_width

ThemeName = Literal["light", "dark"]

FONT = "Helvetica"
LABEL_SIZE = 9
"""Points. Graphviz cuts a fraction off, so sizes are whole."""
NODE_GAP = 21.6
"""Points between neighbours on a rank."""
FRAME_MARGIN = 10
LONGEST_TEXT = 60
"""Characters of a label's line; what is longer ends in an ellipsis."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours. `families` gives fill and border; `skip` is the colour of what goes around layers."""

    background: str
    text: str
    muted: str
    edge: str
    skip: str
    cluster: str
    cluster_border: str
    badge: str
    badge_text: str
    families: Mapping[str, tuple[str, str]]


LIGHT = Theme(
    background="white",
    text="#1F2937",
    muted="#6B7280",
    edge="#374151",
    skip="#B45309",
    cluster="#F8FAFC",
    cluster_border="#94A3B8",
    badge="#1F2937",
    badge_text="white",
    families=MappingProxyType(
        {
            "io": ("#F3F4F6", "#6B7280"),
            "convolution": ("#DBEAFE", "#1D4ED8"),
            "normalization": ("#FEF3C7", "#B45309"),
            "activation": ("#FFE4E6", "#BE123C"),
            "pooling": ("#DCFCE7", "#15803D"),
            "linear": ("#EDE9FE", "#6D28D9"),
            "attention": ("#FFEDD5", "#C2410C"),
            "embedding": ("#FCE7F3", "#BE185D"),
            "recurrent": ("#ECFCCB", "#4D7C0F"),
            "upsampling": ("#CFFAFE", "#0E7490"),
            "dropout": ("#CCFBF1", "#0F766E"),
            "shape": ("#E7E5E4", "#57534E"),
            "elementwise": ("#FAE8FF", "#A21CAF"),
            "reduction": ("#C7D2FE", "#312E81"),
            "random": ("#FEF08A", "#854D0E"),
            "parameter": ("#FDF2E9", "#92400E"),
            "loss": ("#FECACA", "#7F1D1D"),
            "merge": ("#FFFFFF", "#374151"),
            "block": ("#E0F2FE", "#0369A1"),
            "custom": ("#F1F5F9", "#0F172A"),
        }
    ),
)

DARK = Theme(
    background="#0F172A",
    text="#E5E7EB",
    muted="#9CA3AF",
    edge="#CBD5E1",
    skip="#FBBF24",
    cluster="#1E293B",
    cluster_border="#475569",
    badge="#E5E7EB",
    badge_text="#0F172A",
    families=MappingProxyType(
        {
            "io": ("#1F2937", "#9CA3AF"),
            "convolution": ("#1E3A8A", "#93C5FD"),
            "normalization": ("#713F12", "#FCD34D"),
            "activation": ("#881337", "#FDA4AF"),
            "pooling": ("#14532D", "#86EFAC"),
            "linear": ("#4C1D95", "#C4B5FD"),
            "attention": ("#7C2D12", "#FDBA74"),
            "embedding": ("#831843", "#F9A8D4"),
            "recurrent": ("#365314", "#BEF264"),
            "upsampling": ("#164E63", "#67E8F9"),
            "dropout": ("#134E4A", "#5EEAD4"),
            "shape": ("#44403C", "#D6D3D1"),
            "elementwise": ("#701A75", "#F0ABFC"),
            "reduction": ("#312E81", "#A5B4FC"),
            "random": ("#422006", "#FDE047"),
            "parameter": ("#431407", "#FDBA74"),
            "loss": ("#7F1D1D", "#FCA5A5"),
            "merge": ("#0F172A", "#E5E7EB"),
            "block": ("#0C4A6E", "#7DD3FC"),
            "custom": ("#334155", "#F8FAFC"),
        }
    ),
)

THEMES: Mapping[str, Theme] = MappingProxyType({"light": LIGHT, "dark": DARK})

# Helvetica's own widths in thousandths of the size, from its font metrics (AFM), by character.
_WIDTHS = {
    character: width / 1000
    for width, characters in {
        191: "'",
        222: "ijl",
        260: "|",
        278: " !,./:;I[\\]ft·",
        333: "()-`r",
        334: "{}",
        355: '"',
        389: "*",
        469: "^",
        500: "Jcksvxyz",
        556: "#$0123456789?L_abdeghnopqu",
        584: "+<=>~×",
        611: "FTZ",
        667: "&ABEKPSVXY",
        722: "CDHNRUw",
        778: "GOQ",
        833: "Mm",
        889: "%",
        944: "W",
        1000: "…",
        1015: "@",
    }.items()
    for character in characters
}
_OTHER_WIDTH = 0.6
_WIDE = 1.0  # East Asian characters
_BOLD = 1.07  # bold text is about this much wider

# What XML 1.0 can't hold breaks Graphviz's label parser and the SVG alike.
_UNPRINTABLE = re.compile("[^\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def clean(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text on one line, without control characters, at most `longest` characters long."""
    text = _UNPRINTABLE.sub(" ", text).strip()
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


def escape(text: str) -> str:
    """The text for an HTML-like label, never empty (Graphviz refuses an empty element)."""
    return html.escape(clean(text)) or "&#160;"


def quoted(text: str) -> str:
    """The text as a DOT string; a backslash stays one (Graphviz would read `\\N` as the node's name)."""
    text = _UNPRINTABLE.sub(" ", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def font(text: str, size: float, color: str | None = None, *, bold: bool = False) -> str:
    """Escaped text in a size and colour."""
    inner = f"<B>{escape(text)}</B>" if bold else escape(text)
    paint = f' COLOR="{color}"' if color else ""
    return f'<FONT POINT-SIZE="{size:g}"{paint}>{inner}</FONT>'


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """How wide Helvetica sets the text, in points; other scripts about."""
    total = sum(
        _WIDTHS.get(character, _WIDE if east_asian_width(character) in "WF" else _OTHER_WIDTH)
        for character in clean(text)
    )
    return total * size * (_BOLD if bold else 1.0)


def chip_width(text: str) -> int:
    """The width of a badge."""
    return 8 + 6 * len(text)


def chip(text: str, theme: Theme) -> str:
    """A small rounded badge. Table and cell both have a fixed size, or Graphviz stretches it to the column."""
    width = chip_width(text)
    size = f'FIXEDSIZE="TRUE" WIDTH="{width}" HEIGHT="14"'
    return (
        f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" STYLE="ROUNDED" '
        f'BGCOLOR="{theme.badge}" {size}><TR><TD {size} VALIGN="MIDDLE">'
        f"{font(text, 9, theme.badge_text, bold=True)}</TD></TR></TABLE>"
    )


def table(rows: Sequence[str], *, padding: int = 1, width: float = 0, height: float = 0) -> str:
    """An HTML-like label of rows of cells, of a fixed size where one is given."""
    body = "".join(f"<TR>{row}</TR>" for row in rows)
    size = f' FIXEDSIZE="TRUE" WIDTH="{width:g}" HEIGHT="{height:g}"' if width else ""
    return f'<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="{padding}"{size}>{body}</TABLE>'


def count_text(count: int) -> str:
    """A count as people write it: `640`, `9.5 K`, `11.69 M`, `1.24 B`."""
    for size, unit, digits in ((10**9, "B", 2), (10**6, "M", 2), (10**3, "K", 1)):
        # 999,960 would round to `1000.0 K`: it is `1.00 M`.
        if round(count / size, digits) >= 1:
            return f"{count / size:.{digits}f} {unit}"
    return str(count)
