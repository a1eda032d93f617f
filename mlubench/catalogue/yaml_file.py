"""Reading YAML that people write: nothing in it is ignored, and nothing in it can grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from mlubench.errors import ConfigError

#: Each alias repeats what its anchor holds; a few of them, nested, would fill the memory.
_MOST_ALIASES = 16
#: Nothing that is counted has more, and Python shows no number of some 14,000.
_MOST_BITS = 63
#: More than so few bits take, to whatever base. The time that one to the base of 60 takes to read
#: grows with the square of its length.
_MOST_DIGITS = 128
#: Far more than anything that is read has.
_MOST_LEVELS = 50
#: The largest of the project's own has 20,000.
_MOST_BYTES = 2**18
#: What PyYAML raises of tags that do not fit, such as ``!!int ""`` and ``!!bool perhaps``.
_MISFITS = (LookupError, TypeError, AttributeError, OverflowError)


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
        if len(self._open) == _MOST_LEVELS:
            raise _fault(f"nested too deeply: more than {_MOST_LEVELS} levels", event.start_mark)
        self._open.append(anchor or "")
        node: yaml.Node | None = super().compose_node(parent, index)
        self._open.pop()
        return node

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        if len(node.value) > _MOST_DIGITS:
            raise _fault(f"a number of more than {_MOST_DIGITS} digits", node.start_mark)
        value: int = super().construct_yaml_int(node)
        if value.bit_length() > _MOST_BITS:
            raise _fault(f"a number of more than {_MOST_BITS} bits", node.start_mark)
        return value

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _fault(f"the key {key.value!r} is there twice", key.start_mark)
                seen.add(key.value)
        return node


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_yaml_int)


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds, as dictionaries, lists, texts and numbers.

    Raises:
        ConfigError: it cannot be read, is no YAML or large, has a key twice, or more than a few
            aliases.
    """
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise ConfigError(
                f"has more than {_MOST_BYTES} bytes", where=str(path), expected="a file by hand"
            )
        text = data.decode()
        return yaml.load(text, _Loader)  # noqa: S506  # it is a SafeLoader
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", where=str(path), fix="restore the file"
        ) from error
    except _MISFITS as error:
        raise ConfigError("is not YAML: a value does not fit its tag", where=str(path)) from error
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"is not YAML: {error}", where=str(path)) from error


def _fault(what: str, mark: Any) -> yaml.YAMLError:
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)
