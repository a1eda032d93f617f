"""The command line: ``mlubench VERB``, with the option names of the seed's sample.

Exit status: 0 pass, 1 a gate failed, 2 wrong input or configuration, 3 inconclusive, 4 a device
or engine failed. Errors are told in a few lines on standard error, without a traceback.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from cyclopts import App, CycloptsError, Parameter

from mlubench import __version__
from mlubench.cli.spellings import as_given, modern
from mlubench.errors import ConfigError, MlubenchError, StoreError

if TYPE_CHECKING:
    from rich.console import Console

_INTERRUPTED = 130
#: As of a program that a shell sees end for want of a reader (128 and SIGPIPE).
_UNREAD = 141
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)

app = App(
    name="mlubench",
    help="Accuracy and speed of Caffe image classifiers, per precision, on MLU cards and CPUs.",
    version=__version__,
    help_format="plaintext",  # Markdown's is the slowest of the imports
    suppress_keyboard_interrupt=False,  # main() answers it
    # Names as the seed has them (--batch_size), several values without repetition
    # (--means 104 117 123), and no --no-... forms.
    default_parameter=Parameter(name_transform=str, consume_multiple=True, negative=()),
)

# A verb is a function of a module of this package, which is imported when it is called.
_VERBS = {
    "eval": ("flows:evaluate", "Judge a network in several precisions."),
    "bench": ("flows:bench", "Measure a network's throughput and latency, every precision."),
    "compare": ("verdicts:compare", "Judge a run by another one, gate by gate."),
    "explain": ("explain:explain", "Show which images, classes and layers changed."),
    "report": ("verdicts:report", "Render a run's page again."),
    "baseline": (
        "verdicts:pins",
        "Pin the runs that others are judged by, and list them.",
    ),
    "nightly": ("flows:nightly", "Run a suite of evaluations and benchmarks and judge it."),
    "cache": ("cache:app", "List, verify and prune what is kept for later runs."),
    "compile": ("sample:compile_model", "Compile a network in one precision (gen_model)."),
    "infer": ("sample:infer", "Run a compiled network over a folder of images (infer_cpp)."),
    "run": ("speed:run", "Measure a compiled network's speed (mm_run)."),
    "layers": ("speed:layers", "Show how long each layer takes, of two precisions side by side."),
    "accuracy": ("sample:accuracy", "Top-1 and top-5 of text files (compute_top1_and_top5)."),
    "fetch": ("networks:fetch", "Fetch the files of networks of the catalogue."),
    "devices": ("devices:devices", "List the CPU's groups of cores and MLU cards."),
    "inspect": ("networks:inspect", "Show a network's layers, parameters and operations."),
}
for _verb, (_function, _help) in _VERBS.items():
    app.command(f"{__name__}.{_function}", name=_verb, help=_help)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status.

    Args:
        arguments: without the program's name; None takes those of this process.
    """
    _open_closed()
    words = sys.argv[1:] if arguments is None else arguments
    given = modern(words)
    try:
        status = app(
            given,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        sys.stdout.flush()
    except MlubenchError as error:
        return _tell(error, words)
    except CycloptsError as error:
        return _tell(_wrong_option(error, " ".join(["mlubench", *given[:1]])), words)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        return _unread()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich's way to tell of it
            return _unread()
        raise
    except OSError as error:
        return _tell(_unwritten(error) if _is_full(error) else _unexpected(error), words)
    except Exception as error:
        return _tell(_unexpected(error), words)
    return status if isinstance(status, int) else 0


def _unread() -> int:
    """Return the exit status where nobody reads on, as behind ``| head``; that is no fault."""
    _drop(sys.stdout)
    return _UNREAD


def _open_closed() -> None:
    """Let what is written to an output that was closed (``>&-``) go nowhere.

    Python has none then, and the first file that is opened would get its number.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  # lasts


def _drop(stream: TextIO) -> None:
    """Let what is left to write go nowhere; Python would try it once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_full(error: OSError) -> bool:
    """Whether an error is of standard output, which then refuses a line end too."""
    if error.errno not in _FULL or error.filename is not None:
        return False
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except (OSError, ValueError):
        _drop(sys.stdout)
        return True
    return False


def _unwritten(error: OSError) -> MlubenchError:
    return StoreError(
        f"cannot be written: {error.strerror}",
        where="standard output",
        fix="make room on its disk, or send it elsewhere",
    )


def _tell(error: MlubenchError, words: Sequence[str]) -> int:
    said = as_given(f"error: {error}", words)
    try:
        _errors().print(said, markup=False, highlight=False, soft_wrap=True)
    except OSError:  # the status says what it can
        _drop(sys.stderr)
    return error.exit_status


def _unexpected(error: Exception) -> MlubenchError:
    """Return a fault of the program itself in one message, its traceback kept in a file."""
    import tempfile
    import traceback

    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="mlubench-", suffix=".log", delete=False, encoding="utf-8"
        ) as log:
            log.writelines(traceback.format_exception(error))
        kept = f"the details are in {log.name}"
    except OSError as refused:  # a full disk may be what it failed on
        kept = f"the details could not be kept: {refused.strerror}"
    return MlubenchError(
        f"unexpected {type(error).__name__}: {error}",
        where="mlubench",
        fix=f"this is a fault of mlubench; {kept}",
    )


def _errors() -> Console:
    from rich.console import Console

    return Console(stderr=True)


def _wrong_option(error: CycloptsError, command: str) -> ConfigError:
    """Return a parser's complaint in this project's words."""
    import pydantic

    from mlubench.validation import fault_text

    cause = error.__cause__
    if isinstance(cause, pydantic.ValidationError):
        fault = cause.errors()[0]
        option = "--" + str(fault["loc"][0])
        return ConfigError(fault_text(fault), where=option, fix=f"see {command} --help")
    return ConfigError(str(error), where=command, fix="see --help")
