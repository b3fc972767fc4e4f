"""What YAML's parser refuses, told in the words of a spec: where it went wrong, and what to write instead.

The parser says what it expected when it could go no further, which is often a line below the mistake. From its two
marks and the text between them this module finds the mistake itself: a missing colon, a bracket that never closes,
an indentation between two levels. What it doesn't recognise is told as YAML puts it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from specdl.diagnostics import Diagnostic, Note, Span

_HEAD = re.compile(r"(?P<indent> *)- +(?P<text>\S.*?)\s*(?:#.*)?\Z")
_ENTRY = re.compile(r"[A-Za-z_][\w.]*\s*(?:\([^()]*\))?\Z|[\w, $]+=\s*[A-Za-z_][\w.]*\s*(?:\([^()]*\))?\Z")
_TIGHT_COLON = re.compile(r"(?P<key>[A-Za-z_]\w*):(?P<value>[^\s:/][^,{}\[\]#]*)")
_TIGHT_DASH = re.compile(r" *(?P<entry>-(?P<text>[A-Za-z_$].*?))\s*(?:#.*)?\Z")
_BRACES = re.compile(r"\$\{\s*(\w+)\s*\}")
_CUT = re.compile(r"\$\([^)]*[\[\],].*?\)+")

MAX_LINE = 2_000
"""Characters of a line in which a mistake is sought; more could take for ever."""

_CLOSES = {"{": "}", "[": "]"}


@dataclass(frozen=True, slots=True)
class _Place:
    """A mark of the parser: line and column from 0."""

    line: int
    column: int


class _Text:
    """The lines of a file, and places in it."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)  # what YAML counts as a line break

    def line(self, number: int) -> str:
        return self.lines[number] if 0 <= number < len(self.lines) else ""

    def long(self, *places: _Place | None) -> bool:
        """Whether lines are too long to look into them: no person wrote them."""
        return any(len(self.line(place.line)) > MAX_LINE for place in places if place is not None)

    def above(self, number: int) -> int | None:
        """The next line above that holds more than a comment."""
        for other in range(number - 1, -1, -1):
            stripped = self.line(other).strip()
            if stripped and not stripped.startswith("#"):
                return None if len(self.line(other)) > MAX_LINE else other
        return None

    def span(self, line: int, column: int, length: int = 1) -> Span:
        return Span(self.file, line + 1, column + 1, line + 1, column + 1 + max(length, 1))


def yaml_mistake(error: yaml.MarkedYAMLError, text: str, file: str) -> Diagnostic:
    """The diagnostic for an error of YAML's parser."""
    shown = _Text(text, file)
    problem = error.problem or "this can't be read"
    mark = error.problem_mark or error.context_mark
    place = _Place(0, 0) if mark is None else _Place(mark.line, mark.column)
    begin = None if error.context_mark is None else _Place(error.context_mark.line, error.context_mark.column)
    context = error.context or ""
    found = None if shown.long(place, begin) else _recognised(shown, problem, context, place, begin)
    if found is not None:
        return found
    notes = () if begin is None or begin == place else (Note(f"{context} that begins here", _at(shown, begin)),)
    return Diagnostic("E0004", f"not YAML: {problem}", _at(shown, place), notes=notes)


def _recognised(text: _Text, problem: str, context: str, place: _Place, begin: _Place | None) -> Diagnostic | None:
    found = _tab(text, place)
    if found is None and "quoted scalar" in context and begin is not None:
        found = _quote(text, begin)
    if found is None and "flow" in context and begin is not None:
        found = _flow(text, begin, place)
    if found is None and "mapping values are not allowed" in problem:
        found = _second_colon(text, place)
    if found is None and "that cannot start any token" in problem:
        found = _character(text, place)
    if found is None and context.startswith("while parsing a block"):
        found = _stray(text, place) or _indentation(text, place)
    if found is None and "sequence entries are not allowed" in problem:
        help = "write `[…]` behind the colon, or begin each `- ` on a line of its own below it"
        found = Diagnostic("E0153", "a list in dashes begins on the line below its key", _at(text, place), help=help)
    if found is None and "could not find expected ':'" in problem and begin is not None:
        found = _no_colon(text, begin)
    return found


def _at(text: _Text, place: _Place, length: int = 1) -> Span:
    return text.span(place.line, place.column, length)


# ---- one mistake a function: None where it is another ------------------------------------------------


def _tab(text: _Text, place: _Place) -> Diagnostic | None:
    line = text.line(place.line)
    column = line[: len(line) - len(line.lstrip())].find("\t")
    if column < 0:
        return None
    return Diagnostic(
        "E0151", "a tab can't indent", text.span(place.line, column), help="indent with spaces, two for each level"
    )


def _quote(text: _Text, begin: _Place) -> Diagnostic:
    quote = text.line(begin.line)[begin.column : begin.column + 1]
    help = "close it on its line; inside `'…'`, a `'` is written twice" if quote == "'" else "close it on its line"
    return Diagnostic("E0152", f"this `{quote}` never closes", _at(text, begin), help=help)


def _flow(text: _Text, begin: _Place, place: _Place) -> Diagnostic | None:
    """A mistake between `{` or `[` and the bracket that closes it."""
    bracket = text.line(begin.line)[begin.column : begin.column + 1]
    if bracket not in _CLOSES:
        return None
    line = text.line(place.line)
    for match in _BRACES.finditer(line):
        if match.start() <= place.column <= match.end():
            help = f"a parameter is read by `${match.group(1)}`"
            return Diagnostic(
                "E0154",
                "`${ }` is not written here",
                text.span(place.line, match.start(), len(match.group())),
                help=help,
            )
    for match in _CUT.finditer(line):
        if match.start() <= place.column <= match.end():
            help = f'inside `{{ }}` and `[ ]`, an expression with `,`, `[` or `]` is quoted: `"{match.group()}"`'
            where = text.span(place.line, match.start(), len(match.group()))
            return Diagnostic("E0154", "YAML cuts this expression at its bracket", where, help=help)
    if _closed(text, begin):
        return _inside(text, place, line)
    inner = line[place.column :].strip()
    wrong = line[place.column : place.column + 1] in _CLOSES.values()
    note = Note("this can't close it" if wrong else "so this still belongs to it", _at(text, place))
    notes = (note,) if inner and (wrong or place.line > begin.line) else ()
    return Diagnostic(
        "E0152",
        f"this `{bracket}` never closes",
        _at(text, begin),
        notes=notes,
        help=f"end it with `{_CLOSES[bracket]}`",
    )


def _closed(text: _Text, begin: _Place) -> bool:
    """Whether the bracket closes before the next line that isn't deeper than its own: what lies behind is no part."""
    own = text.line(begin.line)
    indent = len(own) - len(own.lstrip())
    open: list[str] = []
    quote = ""
    for number in range(begin.line, len(text.lines)):
        line = text.line(number)
        shallow = number > begin.line and len(line) - len(line.lstrip()) <= indent
        if shallow and line.strip() and not line.lstrip().startswith(("}", "]")):
            return False
        start = begin.column if number == begin.line else 0
        for position in range(start, len(line)):
            letter = line[position]
            if quote:
                quote = "" if letter == quote else quote
            elif letter in "'\"" and line[position - 1 : position] in (" ", "{", "[", ","):
                quote = letter
            elif letter == "#" and line[position - 1 : position] == " ":
                break
            elif letter in _CLOSES:
                open.append(letter)
            elif letter in "}]":
                if _CLOSES[open.pop()] != letter:
                    return False
                if not open:
                    return True
    return False


def _inside(text: _Text, place: _Place, line: str) -> Diagnostic:
    """Between brackets that do close: a value that needs quotes, or a comma that is missing."""
    where = _at(text, place)
    start = max(line.rfind(mark, 0, place.column) for mark in ("{", ",", "["))
    piece = line[start + 1 : place.column].strip()
    key, colon, value = piece.partition(": ")
    if line[place.column : place.column + 1] == "[" and (value or not colon):
        end = _end_of(line, place.column)
        whole = f"{value or key}{line[place.column : end]}".strip()
        help = f'inside `{{ }}` and `[ ]`, a value with brackets is quoted: `"{whole}"`'
        return Diagnostic("E0154", "YAML cuts this value at its bracket", where, help=help)
    words = value.split()
    if line[place.column : place.column + 1] == ":" and len(words) == 2 and words[1].isidentifier():
        where = text.span(place.line, place.column - len(words[1]), len(words[1]))
        help = f"write `{key}: {words[0]}, {words[1]}: …`"
        return Diagnostic("E0153", f"a comma is missing before `{words[1]}`", where, help=help)
    if line[place.column : place.column + 1] == ":" and colon:
        help = f"a mapping in a mapping has braces of its own: `{key}: {{{value}: …}}`"
        return Diagnostic("E0153", "a second colon behind one key", where, help=help)
    return Diagnostic(
        "E0153", "a comma is missing here", where, help="what stands in `{ }` or `[ ]` is parted by commas"
    )


def _end_of(line: str, start: int) -> int:
    depth = 0
    for position in range(start, len(line)):
        depth += (line[position] in "{[(") - (line[position] in "}])")
        if depth == 0:
            return position + 1
    return len(line)


def _second_colon(text: _Text, place: _Place) -> Diagnostic | None:
    """A key where YAML still reads the value before it."""
    line = text.line(place.line)
    key = line[: place.column].strip()
    above = text.above(place.line)
    if re.fullmatch(r"(?:- +)?\S.*", key) and ": " not in key and above is not None and not _is_value(line, place):
        return _below(text, above, place, key)
    start = line.find(": ")
    head, value = line[:start].strip(), line[start + 2 :].strip()
    value = re.sub(r"\s+#.*", "", value)
    if head.startswith("- ") and re.match(r"[A-Za-z_]\w*: ", value):
        help = f"arguments have braces, or a line each: `{head}: {{{value}}}`"
    else:
        help = f'a value with a colon is quoted: `{head}: "{value}"`'
    return Diagnostic("E0154", "a second colon on one line", _at(text, place), help=help)


def _is_value(line: str, place: _Place) -> bool:
    """Whether a key stands before the colon at `place` on its own line already."""
    return ": " in line[: place.column]


def _below(text: _Text, above: int, place: _Place, key: str) -> Diagnostic:
    """A key on a line of its own, which YAML reads as more of the value on the line above."""
    line = text.line(above)
    indent = len(line) - len(line.lstrip())
    dash = _TIGHT_DASH.match(line)
    if dash is not None:
        where = text.span(above, dash.start("entry"), 1)
        return Diagnostic("E0153", "a dash needs a space behind it", where, help=f"write `- {dash.group('text')}`")
    head = _HEAD.match(line)
    here = text.span(place.line, len(text.line(place.line)) - len(text.line(place.line).lstrip()), len(key))
    if head is not None and _ENTRY.match(head.group("text")):
        name = head.group("text")
        where = text.span(above, head.start("text"), len(name))
        return Diagnostic(
            "E0150",
            f"`{name}` has keys below it, but no colon behind it",
            where,
            notes=(Note("this belongs to it", here),),
            help=f"write `- {name}:`",
        )
    for number in range(above, max(above - 20, -1), -1):  # the value may have begun further up
        tight = _TIGHT_COLON.search(text.line(number)[:MAX_LINE])
        if tight is not None:
            where = text.span(number, tight.start(), len(tight.group("key")) + 1)
            help = f"write `{tight.group('key')}: {tight.group('value').strip()}`"
            return Diagnostic("E0153", "a colon needs a space behind it", where, help=help)
        if ": " in text.line(number):
            break
    shown = line.strip()
    note = Note("the line above", text.span(above, indent, len(shown)))
    if ":" not in line:
        help = f"a key is written `{shown.split()[0]}: …`"
        return Diagnostic(
            "E0153", f"`{shown}` has no colon", note.span, notes=(Note("this is read as more of it", here),), help=help
        )
    message = f"`{key}` stands deeper than the line above, which has its value already"
    help = "keys of one mapping begin in one column"
    return Diagnostic("E0151", message, here, notes=(note,), help=help)


def _character(text: _Text, place: _Place) -> Diagnostic:
    line = text.line(place.line)
    letter = line[place.column : place.column + 1]
    rest = re.split(r"\s+#|\s*[,}\]]", line[place.column :])[0].strip()
    if letter == "`":
        help = f"without backquotes: `{rest.strip('`')}`"
    elif letter == "%" and rest[1:].isidentifier():
        help = f'a parameter is read by `${rest[1:]}`; text is quoted: `"{rest}"`'
    else:
        help = f'quote it: `"{rest}"`'
    shown = "a backquote" if letter == "`" else f"`{letter}`"
    return Diagnostic("E0154", f"YAML lets no value begin with {shown}", _at(text, place), help=help)


def _stray(text: _Text, place: _Place) -> Diagnostic | None:
    """Something behind a value that has ended on this line: a bracket too many, or a word behind a quote."""
    line = text.line(place.line)
    before, letter = line[: place.column], line[place.column : place.column + 1]
    if not before.strip() or before.strip() == "-":
        return None
    opened = re.match(r"\s*(?:- +)?(?P<key>[A-Za-z_]\w*)\s+(?P<bracket>[{\[])", line)
    if letter in "}]" and opened is not None:
        where = text.span(place.line, opened.start("key"), len(opened.group("key")))
        help = f"write `{opened.group('key')}: {line[opened.start('bracket') :].strip()}`"
        return Diagnostic("E0153", f"`{opened.group('key')}` has no colon", where, help=help)
    if letter in "}]":
        return Diagnostic("E0152", f"this `{letter}` closes nothing", _at(text, place), help="remove it")
    if before.rstrip().endswith(('"', "'")):
        rest = line[place.column :].strip()
        help = "let the quotes hold all of the value, or none of it"
        return Diagnostic("E0154", f"`{rest}` stands behind the quotes", _at(text, place, len(rest)), help=help)
    return None


def _indentation(text: _Text, place: _Place) -> Diagnostic | None:
    """A line that begins at none of the columns where the lines above do."""
    line = text.line(place.line)
    indent = len(line) - len(line.lstrip())
    where = text.span(place.line, indent, len(line.strip()))
    columns: list[int] = []
    for number in range(place.line - 1, -1, -1):
        other = text.line(number)[:MAX_LINE]
        if not other.strip() or other.lstrip().startswith("#"):
            continue
        at = len(other) - len(other.lstrip())
        if not columns or at < columns[-1]:
            columns.append(at)
        inner = re.match(r" *- +(?=\S+.*:(?:\s|$))", other)  # a key behind a dash is a level too
        if inner is not None and inner.end() not in columns and (len(columns) == 1 or inner.end() < columns[-2]):
            columns.insert(len(columns) - 1, inner.end())
        if at == 0:
            break
    if indent in columns:
        above = text.above(place.line)
        dash = line.lstrip().startswith("- ")
        message = "a list entry can't follow a key here" if dash else "a key can't follow a list entry here"
        help = "entries of one list begin with `- ` in one column; keys of one mapping begin in one column"
        span = None if above is None else text.span(above, 0, len(text.line(above)))
        notes = () if span is None else (Note("the line above", span),)
        return Diagnostic("E0151", message, where, notes=notes, help=help)
    levels = sorted(column + 1 for column in columns)
    if not levels:
        return None
    listing = ", ".join(map(str, levels[:-1])) + (f" or {levels[-1]}" if len(levels) > 1 else str(levels[0]))
    help = f"begin it in column {listing}, as the lines above do"
    return Diagnostic("E0151", "this line is indented to no level above it", where, help=help)


def _no_colon(text: _Text, begin: _Place) -> Diagnostic:
    line = text.line(begin.line)
    word = line[begin.column :].strip()
    tight = _TIGHT_COLON.match(word)
    if tight is not None:
        help = f"write `{tight.group('key')}: {tight.group('value').strip()}`"
        where = _at(text, begin, len(tight.group("key")) + 1)
        return Diagnostic("E0153", "a colon needs a space behind it", where, help=help)
    dash = _TIGHT_DASH.match(line)
    if dash is not None:
        where = text.span(begin.line, dash.start("entry"), 1)
        return Diagnostic("E0153", "a dash needs a space behind it", where, help=f"write `- {dash.group('text')}`")
    return Diagnostic(
        "E0153", f"`{word}` has no colon", _at(text, begin, len(word)), help=f"a key is written `{word.split()[0]}: …`"
    )
