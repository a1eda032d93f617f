"""Reading YAML that people write: nothing in it is ignored, and nothing in it can grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mlubench.errors import ConfigError

#: Each alias repeats what its anchor holds; a few of them, nested, would fill the memory.
_MOST_ALIASES = 16


class _Loader(yaml.SafeLoader):
    """YAML's plain values; few aliases, none within its own anchor, no key twice."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._aliases = 0
        self._open: list[str] = []

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            self._aliases += 1
            if self._aliases > _MOST_ALIASES:
                raise _fault(f"there are more than {_MOST_ALIASES} aliases", event.start_mark)
            if anchor in self._open:
                raise _fault(f"*{anchor} stands within &{anchor}", event.start_mark)
            anchor = None
        self._open.append(anchor or "")
        node: yaml.Node | None = super().compose_node(parent, index)
        self._open.pop()
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _fault(f"the key {key.value!r} is there twice", key.start_mark)
                seen.add(key.value)
        return node


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds, as dictionaries, lists, texts and numbers.

    Raises:
        ConfigError: it cannot be read, is no YAML, has a key twice, or more than a few aliases.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.load(text, _Loader)  # noqa: S506  # it is a SafeLoader
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", where=str(path), fix="restore the file"
        ) from error
    except RecursionError:
        raise ConfigError("is nested too deeply", where=str(path)) from None
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"is not YAML: {error}", where=str(path)) from error


def _fault(what: str, mark: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)
