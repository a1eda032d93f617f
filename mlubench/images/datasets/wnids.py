"""ImageNet's classes in the paths of images.

A class id of ImageNet is a WordNet id, ``n`` and eight digits. Where it stands:

==============================================  ============================================
``n01440764/ILSVRC2012_val_00000293.JPEG``      a folder for each class
``n01440764_10026.JPEG``                        before the name, as in the training archives
``ILSVRC2012_val_00000293_n01440764.JPEG``      after the name, as in the Hugging Face copy
==============================================  ============================================
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from mlubench.errors import DatasetError
from mlubench.images.datasets.labels import imagenet_order
from mlubench.images.datasets.source import base_name, folder_name

WNID = re.compile(r"n[0-9]{8}")
_BEFORE = re.compile(r"(n[0-9]{8})_.")
_AFTER = re.compile(r"(.+)_(n[0-9]{8})(\.[^.]+)")
_NAMED = 5


def plain_name(path: str) -> str:
    """Return an image's name: the path's last part, without a class id that stands after it.

    So an image has one name in whatever form the dataset comes.
    """
    name = base_name(path)
    found = _AFTER.fullmatch(name)
    return found[1] + found[3] if found else name


def told_wnids(path: str) -> frozenset[str]:
    """Return the class ids that the last folder and the name in a path tell."""
    folder, name = folder_name(path), base_name(path)
    before, after = _BEFORE.match(name), _AFTER.fullmatch(name)
    told = (WNID.fullmatch(folder) and folder, before and before[1], after and after[2])
    return frozenset(wnid for wnid in told if wnid)


def in_class_folder(paths: Iterable[str]) -> bool:
    """Tell whether any of the images lies in the folder of a class."""
    return any(WNID.fullmatch(folder_name(path)) for path in paths)


def all_tell(paths: Iterable[str]) -> bool:
    """Tell whether the path of each image tells one class, and that one of ImageNet's thousand."""
    known = frozenset(imagenet_order("2012").class_ids)
    told = map(told_wnids, paths)
    return all(len(wnids) == 1 and wnids <= known for wnids in told)


def classes_by_path(paths: Mapping[str, str], *, where: str, fix: str) -> dict[str, str]:
    """Return the class ids of images by their names.

    Args:
        paths: each image's path by its name.
        where: the medium, for the messages.
        fix: what the user can do where a path tells no class.

    Raises:
        DatasetError: an image's path tells no class, two, or one that is not among ImageNet's
            thousand.
    """
    told = {name: told_wnids(path) for name, path in paths.items()}
    if silent := sorted(name for name, wnids in told.items() if not wnids):
        raise _silent(silent, len(told), where, fix)
    known = frozenset(imagenet_order("2012").class_ids)
    for name, wnids in told.items():
        if len(wnids) > 1 or not wnids <= known:
            raise DatasetError(
                f"its path tells the class {' and '.join(sorted(wnids))}",
                where=f"{where}, {paths[name]}",
                expected="one of ImageNet's 1000 classes",
                fix="move the image to where it belongs",
            )
    return {name: wnid for name, wnids in told.items() for wnid in wnids}


def _silent(names: list[str], images: int, where: str, fix: str) -> DatasetError:
    named = ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
    return DatasetError(
        f"nothing tells the classes of {len(names)} of its {images} images: {named}",
        where=where,
        expected="a label list, or images in folders or of names that begin or end with a "
        "class id such as n01440764",
        fix=fix,
    )
