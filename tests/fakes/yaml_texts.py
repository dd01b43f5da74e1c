"""Random YAML: documents in all the styles that people write, and damage as editors and merges leave it."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st

KEYS = ("a", "name", "rto", "depends_on", "x-y", "Zona", "k9", "title", "en", "hosts")
WORDS = (
    *("a", "word", "two words", "no", "yes", "on", "14:30", "1:2:3", "5m", "true", "False", "null", "~", "None", "nil"),
    *("5", "-5", "+7", "017", "0o17", "0x1F", "1.5", "-.5", "1e3", "2.", "1e", ".", "..", "0o8", "1.2.3", "-", "a-b"),
    *("/srv/data kota", "https://192.0.2.1:9000/x", "a#b", "a,b", "é", "naïve — text", "日本", "😀", "$(id)", "100%"),
)
_QUOTED = ("''", '""', "'it''s'", '"a: b # c"', '"a\\tb\\u00e9"', "'- x'", '"5"', "'{a: b}'", '"true"')
_DAMAGE = (
    *(" ", "  ", "\n", "\n  ", "\t", "- ", "? ", ": ", ":", " #", "#", ",", "[", "]", "{", "}", "'", '"', "&a ", "*a"),
    *("!x ", "!!str ", "<<: ", "|", "|\n", ">-\n", "---", "---\n", "...", "%", "@", "`", "\\", "=", "~", "null", "0x1"),
    *("1e999", "9" * 41, "-1", "+", "é", "\x00", "\x7f", "\x85", "\xa0", "\u2028", "\ufeff", "\r", "\r\n", "[]", "{}"),
    *("{a: b}", "{a: b, a: c}", "[a, b]", "[a,]", "{a:b}", "{a: }", "[a: b]", '["a":b]', "a:\n- b\n", "a: b\n"),
)


@dataclass
class _Writer:
    """Writes one document; `anchors` are the names that an alias may use by then, mappings apart."""

    data: st.DataObject
    lines: list[str] = field(default_factory=list)
    anchors: list[str] = field(default_factory=list)
    mappings: list[str] = field(default_factory=list)
    numbers: int = 0

    def pick(self, *choices: str) -> str:
        return self.data.draw(st.sampled_from(choices))

    def maybe(self, one_in: int) -> bool:
        return self.data.draw(st.integers(0, one_in - 1)) == 0

    def anchor(self) -> str:
        self.numbers += 1
        return f"n{self.numbers}"

    def mapping(self, indent: int, depth: int) -> None:
        keys = self.data.draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4, unique=True))
        for key in keys:
            if self.maybe(8):
                self.lines += self.data.draw(st.sampled_from((["# a comment"], [""], [" " * indent + "# here: - too"])))
            written = f"'{key}'" if self.maybe(6) else key
            self.value(" " * indent + written + ":", indent, depth)
        if self.mappings and self.maybe(3):
            sources = self.data.draw(st.lists(st.sampled_from(self.mappings), min_size=1, max_size=2))
            merged = f"*{sources[0]}" if len(sources) == 1 else f"[{', '.join('*' + name for name in sources)}]"
            self.lines.append(" " * indent + f"<<: {merged}")

    def value(self, start: str, indent: int, depth: int) -> None:
        """What follows a key or a dash."""
        kinds = ["word", "word", "quoted", "flow", "text", "alias", "lines"]
        kind = self.pick(*kinds, *(["mapping", "sequence"] if depth else []))
        name = self.anchor() if self.maybe(4) else ""
        mark = f" &{name}" if name else ""
        end = "  # note: it" if self.maybe(6) else ""
        if kind == "alias" and self.anchors:
            self.lines.append(f"{start} *{self.pick(*self.anchors)}{end}")
            return
        if kind == "mapping":
            self.lines.append(start + mark + end)
            self.mapping(indent + self.data.draw(st.integers(1, 4)), depth - 1)
            self.mappings += [name] if name else []
        elif kind == "sequence":
            self.lines.append(start + mark + end)
            for _ in range(self.data.draw(st.integers(1, 3))):
                self.value(" " * (indent + 2) + "-", indent + 2, depth - 1)
        elif kind == "text":
            style = self.pick("|", "|-", ">", ">-")
            self.lines += [f"{start}{mark} {style}", *(" " * (indent + 4) + text for text in ("one: 1", "", "- two"))]
        elif kind == "lines":
            self.lines += [f"{start}{mark} first words", " " * (indent + 4) + "and more"]
        else:
            plain = self.pick(*(word for word in WORDS if word != "-"))
            written = {"quoted": self.pick(*_QUOTED), "flow": self.flow()}.get(kind, plain)
            self.lines.append(f"{start}{mark} {written}{end}")
        self.anchors += [name] if name else []

    def flow(self) -> str:
        items = [self.pick("a", "5", "no", "two words", "'q, r'", '"s"', "1.5", "~") for _ in range(3)]
        pairs = f"{{a: {items[0]}, b: {items[1]}}}"
        return self.pick("[]", "{}", f"[{', '.join(items)}]", pairs, f"[{pairs}, {items[2]}]", f"{{a: [{items[0]}]}}")


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A correct document: a mapping in blocks, with anchors, aliases, merges, and text over several lines."""
    writer = _Writer(draw(st.data()))
    writer.mapping(0, 3)
    return "\n".join(writer.lines) + ("\n" if writer.maybe(2) else "")


@st.composite
def damaged(draw: st.DrawFn, texts: st.SearchStrategy[str], *, most: int = 3) -> str:
    """One of the texts after a few edits: pieces put in and cut out, lines doubled, moved and indented otherwise."""
    text = draw(texts)
    for _ in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from(("piece", "piece", "cut", "end", "line", "indent")))
        at = draw(st.integers(0, len(text)))
        if kind == "piece":
            text = text[:at] + draw(st.sampled_from(_DAMAGE) | st.text(max_size=4)) + text[at:]
        elif kind == "cut":
            text = text[:at] + text[at + draw(st.integers(1, 40)) :]
        elif kind == "end":
            text = text[:at]
        else:
            lines = text.split("\n")
            chosen = draw(st.integers(0, len(lines) - 1))
            if kind == "line":
                lines.insert(draw(st.integers(0, len(lines))), lines[chosen])
            else:
                lines[chosen] = draw(st.sampled_from((" ", "  ", "\t", ""))) + lines[chosen].removeprefix(" ")
            text = "\n".join(lines)
    return text
