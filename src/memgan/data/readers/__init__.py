"""Readers of raw data, one a layout; each streams `Record`s out of archives in place."""

from collections.abc import Mapping
from pathlib import Path

from memgan.data.readers import coco, cub, folder
from memgan.data.readers.records import Raw, Skips
from memgan.errors import InputError
from memgan.params.data import Source

READERS = {"cub": cub.read, "coco": coco.read, "folder": folder.read}


def read(files: Mapping[str, Path], source: Source, skips: Skips) -> Raw:
    """The data set in `files` (role -> archive or folder): texts are read now, images as the records are asked for.

    Raises InputError, now or while streaming, for what is missing, contradictory or beyond `max_skipped`.
    """
    if source.split not in SPLITS_OF[source.layout]:
        allowed = " or ".join(SPLITS_OF[source.layout])
        raise InputError(f"params.yaml: the layout `{source.layout}` has no split `{source.split}`; write split: {allowed}")
    return READERS[source.layout](files, source, skips)


SPLITS_OF = {"cub": ("official", "lists"), "coco": ("official",), "folder": ("fraction",)}
