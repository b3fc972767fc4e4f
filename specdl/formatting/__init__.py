"""The text of a spec in its canonical style: what `specdl fmt` writes back and `specdl show` prints."""

from specdl.formatting.format import format_text
from specdl.formatting.plain import write_plain

__all__ = ["format_text", "write_plain"]
