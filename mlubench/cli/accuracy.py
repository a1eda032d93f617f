"""``mlubench accuracy``: compute_top1_and_top5.py."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console


def accuracy(
    *,
    result_label_file: Path,
    result_1_file: Path,
    result_5_file: Path,
    top1andtop5_file: Path | None = None,
) -> int:
    """Compute top-1 and top-5 from the seed's text files, as compute_top1_and_top5.py does.

    Args:
        result_label_file: eval_labels.txt, true classes.
        result_1_file: eval_result_1.txt, the best class of each image.
        result_5_file: eval_result_5.txt, five classes of each image.
        top1andtop5_file: where the two figures are written too.
    """
    from mlubench.reports.samples_accuracy import samples_accuracy
    from mlubench.reports.seed_files import accuracy_text, write_text
    from mlubench.store import atomic_path

    text = accuracy_text(*samples_accuracy(result_label_file, result_1_file, result_5_file))
    if top1andtop5_file is not None:
        with atomic_path(top1andtop5_file) as temporary:
            write_text(temporary, [text])
    Console(highlight=False).print(text.decode(), end="")
    return 0
