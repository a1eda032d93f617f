"""Where the layers stand in the text of a network, found without parsing it.

Protobuf's text parser tells the line of a mistake, but not in which layer it is, and forgets
every line once it has read the file. This scan splits the text into the same tokens and keeps,
for each layer, what an error message wants to say of it. It also refuses, before the parser
sees the text, what that would choke on or let pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mlubench.errors import NetworkError

# Caffe's own messages nest five deep.
_MAX_DEPTH = 20
#: The parser takes a time that grows with the square of such a row.
_ROW_OF_BACKSLASHES = "\\" * 17
# The tokens of protobuf's text format; a string that is not closed ends with its line.
_TOKEN = re.compile(
    r"""(?P<newline>\n)
      | (?P<comment>\#[^\n]*)
      | (?P<string>"(?:[^"\n\\]|\\.)*(?:"|\\?$) | '(?:[^'\n\\]|\\.)*(?:'|\\?$))
      | (?P<open>[{<])
      | (?P<close>[}>])
      | (?P<word>[a-zA-Z_][0-9a-zA-Z_+-]* | [0-9+-][0-9a-zA-Z_.+-]*)""",
    re.VERBOSE | re.MULTILINE,
)
_ESCAPE = re.compile(r"""\\(?:[abfnrtv'"\\]|[0-3][0-7]{2}|x[0-9a-fA-F]{2})""")


@dataclass(frozen=True)
class LayerBlock:
    """One ``layer { ... }`` of the text.

    Attributes:
        keyword: ``layer``, or ``layers`` as the older format says.
        offset: of the keyword in the text.
        first_line: of the keyword, from 1.
        last_line: of the closing brace.
        name: the layer's name; empty where it has none.
        type: the layer's type as written, without quotes.
        quoted_type: whether the type is a string and not a bare word.
    """

    keyword: str
    offset: int
    first_line: int
    last_line: int = 0
    name: str = ""
    type: str = ""
    quoted_type: bool = False

    def holds(self, line: int) -> bool:
        """Tell whether a line of the text is in this layer."""
        return self.first_line <= line <= self.last_line


def layer_blocks(text: str, file: Path) -> list[LayerBlock]:
    """Return the layers of a network's text in their order.

    Raises:
        NetworkError: the text nests deeper than any network does, or has a malformed string.
    """
    blocks: list[LayerBlock] = []
    current: LayerBlock | None = None
    depth, key, keyword = 0, "", (0, 0, "")
    for line, token in _tokens(text, file):
        kind, word = token.lastgroup, token.group()
        if kind == "open":
            if depth == 0 and keyword[2] in ("layer", "layers"):
                current = LayerBlock(keyword[2], keyword[0], keyword[1])
            depth, key = depth + 1, ""
            if depth > _MAX_DEPTH:
                raise _malformed(f"the text nests more than {_MAX_DEPTH} deep", file, line)
        elif kind == "close":
            depth, key = max(depth - 1, 0), ""
            if depth == 0 and current is not None:
                blocks.append(replace(current, last_line=line))
                current = None
        elif depth == 0:
            keyword = (token.start(), line, word)
        elif depth == 1 and current is not None:
            current, key = _with_field(current, key, word, kind == "string")
    if current is not None:  # never closed: the parser will say so
        blocks.append(replace(current, last_line=line))
    return blocks


def _tokens(text: str, file: Path) -> Iterator[tuple[int, re.Match[str]]]:
    """Give each token with its line; no comments, no line ends."""
    line = 1
    for token in _TOKEN.finditer(text):
        if token.lastgroup == "newline":
            line += 1
        elif token.lastgroup != "comment":
            # The parser lets other escapes pass with a warning; Caffe refuses them.
            if token.lastgroup == "string" and "\\" in _ESCAPE.sub("", token.group()):
                raise _malformed(f"{token.group()} has an escape of no meaning", file, line)
            if _ROW_OF_BACKSLASHES in token.group():
                raise _malformed("a string has 17 backslashes in a row", file, line)
            yield line, token


def _with_field(block: LayerBlock, key: str, word: str, quoted: bool) -> tuple[LayerBlock, str]:
    """Return the block after one more word at its own level, and the field it opens."""
    if key == "name":
        return replace(block, name=word.strip("\"'")), ""
    if key == "type":
        return replace(block, type=word.strip("\"'"), quoted_type=quoted), ""
    return block, word


def _malformed(what: str, file: Path, line: int) -> NetworkError:
    return NetworkError(
        what,
        where=f"{file}:{line}",
        expected="a Caffe network definition (prototxt)",
        fix="give the deploy.prototxt that belongs to the weights",
    )
