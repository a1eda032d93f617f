"""HTML pages as tests read them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_VOID = {"meta", "br", "img"}


class ParsedPage(HTMLParser):
    """A page's tags, attributes and text; tags must close in order.

    Attributes:
        tags: in their order.
        attributes: of all tags, as (name, value).
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self._texts: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self._texts.append(data)

    @property
    def text(self) -> str:
        """All text, white space as one blank."""
        return re.sub(r"\s+", " ", " ".join(self._texts))

    def values(self, *names: str) -> set[str]:
        """Return the values of attributes of these names."""
        return {value or "" for name, value in self.attributes if name in names}
