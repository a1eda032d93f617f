"""The same images in every form of dataset, packed by independent means."""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mlubench.images.datasets.labels import imagenet_order

#: Files' bytes by name; classes (wnids) by name.
Files = Mapping[str, bytes]
Classes = Mapping[str, str]


def flat(root: Path, files: Files) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (root / name).write_bytes(data)
    return root


def class_folders(root: Path, files: Files, classes: Classes) -> Path:
    for name, data in files.items():
        flat(root / classes[name], {name: data})
    return root


def named_by_class(root: Path, files: Files, classes: Classes) -> Path:
    """Write files as ImageNet's copy on Hugging Face names them, the class behind the name."""
    return flat(root, {_with_class(name, classes): data for name, data in files.items()})


def tar(archive: Path, folder: Path) -> Path:
    """Pack a folder's content as ``tar -cf archive -C folder .`` does."""
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as stream:
        stream.add(folder, arcname=".")
    return archive


def parquet(
    root: Path,
    files: Files,
    classes: Classes,
    *,
    shards: int = 2,
    split: str = "validation",
    row_group_size: int = 7,
) -> Path:
    """Write shards of the layout and the names that the Hugging Face copy has, rows reversed."""
    order = imagenet_order("2012")
    names = sorted(files, reverse=True)
    root.mkdir(parents=True, exist_ok=True)
    for shard in range(shards):
        part = names[shard::shards]
        rows = [{"bytes": files[name], "path": _with_class(name, classes)} for name in part]
        labels = [order.index_of(classes[name]) for name in part]
        path = root / f"{split}-{shard:05d}-of-{shards:05d}.parquet"
        pq.write_table(table(rows, labels), path, row_group_size=row_group_size)
    return root


def table(rows: Sequence[Mapping[str, object]], labels: Sequence[int | None]) -> pa.Table:
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return pa.table({"image": pa.array(rows, image), "label": pa.array(labels, pa.int64())})


def label_list(path: Path, classes: Classes, order: str) -> Path:
    labels = imagenet_order("2012" if order == "2012" else "2015")
    end = " \n" if order == "2015" else "\n"  # as the two lists that there are
    path.write_text("".join(f"{name} {labels.index_of(classes[name])}{end}" for name in classes))
    return path


def every_form(
    root: Path, files: Files, classes: Classes
) -> dict[str, Callable[[], tuple[Path, Path | None, str | None]]]:
    """Return for each form what writes it and gives (image_dir, label_file, label_file_order)."""
    root.mkdir()
    lists = {
        order: label_list(root / f"ILSVRC{order}_val.txt", classes, order)
        for order in ("2012", "2015")
    }
    folder = flat(root / "flat", files)
    folders = class_folders(root / "folders", files, classes)

    def tar_below(name: str, source: Path) -> Path:
        (root / name).mkdir()
        return tar(root / name / "ILSVRC2012_img_val.tar", source).parent

    def val_below() -> Path:
        shutil.copytree(folders, root / "outer" / "val")
        return root / "outer"

    return {
        "folder, list of 2012": lambda: (folder, lists["2012"], "2012"),
        "folder, list of 2015": lambda: (folder, lists["2015"], "2015"),
        "tar, list of 2012": lambda: (tar(root / "a.tar", folder), lists["2012"], "2012"),
        "tar, list of 2015": lambda: (tar(root / "b.tar", folder), lists["2015"], "2015"),
        "folder of a tar, list": lambda: (tar_below("t", folder), lists["2012"], "2012"),
        "class folders": lambda: (folders, None, None),
        "folder val of class folders": lambda: (val_below(), None, None),
        "tar of class folders": lambda: (tar(root / "c.tar", folders), None, None),
        "names of classes": lambda: (named_by_class(root / "n", files, classes), None, None),
        "parquet": lambda: (parquet(root / "p", files, classes), None, None),
        "one parquet file": lambda: (
            parquet(root / "q", files, classes, shards=1) / "validation-00000-of-00001.parquet",
            None,
            None,
        ),
    }


def _with_class(name: str, classes: Classes) -> str:
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}_{classes[name]}{dot}{suffix}"
