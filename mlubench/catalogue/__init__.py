"""The catalogues: networks and datasets by name, as data in ``conf/``."""

from mlubench.catalogue.datasets import DatasetEntry, datasets, expanded
from mlubench.catalogue.engines import EngineEntry, engines
from mlubench.catalogue.entries import entry_named
from mlubench.catalogue.models import ModelEntry, models

__all__ = [
    "DatasetEntry",
    "EngineEntry",
    "ModelEntry",
    "datasets",
    "engines",
    "entry_named",
    "expanded",
    "models",
]
