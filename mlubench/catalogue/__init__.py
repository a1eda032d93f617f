"""The catalogues: networks and datasets by name, as data in ``conf/``."""

from mlubench.catalogue.datasets import DatasetEntry, datasets, expanded
from mlubench.catalogue.entries import entry_named
from mlubench.catalogue.models import ModelEntry, models

__all__ = ["DatasetEntry", "ModelEntry", "datasets", "entry_named", "expanded", "models"]
