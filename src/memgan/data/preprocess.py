"""Step: raw archives -> images at load size in WebDataset shards, with an index (geometry of SPEC 10).

python -m memgan.data.preprocess --dataset NAME --sources data/NAME/sources.json --out results/NAME/images

Works on as many processes as the job has cores; a killed run goes on where it was. Neither changes a byte.
"""

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from memgan import artifacts, steps
from memgan.data.prepare import Outcome, Workers, cores, useful
from memgan.data.readers import read
from memgan.data.readers.records import Record, Skips
from memgan.data.shards import SPLITS
from memgan.data.source import inflated_once, located
from memgan.data.writer import Writer
from memgan.errors import InputError
from memgan.params.data import Counts, Images
from memgan.params.load import Settings

STEP = "memgan.data.preprocess"


def main(
    dataset: Annotated[str, typer.Option(help="name under `data` in params.yaml")],
    sources: Annotated[Path, typer.Option(help="data/{dataset}/sources.json")],
    out: Annotated[Path, typer.Option(help="folder of shards and index.json")],
    processes: Annotated[int | None, typer.Option(help="OMP_NUM_THREADS, or all cores", show_default=False)] = None,
) -> None:
    """Cuts and scales every image of a data set and packs them into shards."""
    settings = Settings(dataset)
    images, source = settings.block("images", Images), settings.source()
    skips = Skips(source.max_skipped, f"data.{dataset}.source.max_skipped")
    used = {"images": images.model_dump(mode="json"), "source": source.model_dump(mode="json")}
    manifest = artifacts.manifest(STEP, used, {"sources": sources})
    files = located(sources)
    with artifacts.full_disk_told(out), inflated_once(out.parent), Workers(useful(files, processes or cores())) as workers:
        raw = read(files, source, skips)
        with Writer(out, key_of(manifest), images.format) as writer:
            pack(raw.records, images, skips, writer, workers)
            rows = {split: shards.rows for split, shards in writer.shards.items()}
            if nothing := [split for split in SPLITS if not rows[split]]:
                said = f"no {nothing[0]} images in what it names; correct `data.{dataset}.source` in params.yaml"
                raise InputError(f"{sources}: {said}")
            index = {**rows, "classes": raw.classes, "categories": raw.categories, "manifest": manifest}
            artifacts.write_text(writer.folder / "index.json", index_text(index))
            writer.finish()
    counts = ", ".join(f"{len(rows[split])} {split}" for split in SPLITS)
    steps.log.info("%s: %s images, %d left out", dataset, counts, skips.count)
    compare(rows, source.counts, dataset)


def key_of(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a state must share to be gone on with: all but how many images may be left out."""
    params = manifest["params"]
    source = {name: value for name, value in params["source"].items() if name != "max_skipped"}
    return {**manifest, "params": {**params, "source": source}}


def compare(rows: Mapping[str, list[Any]], counts: Counts | None, dataset: str) -> None:
    """Says so if there is more or less of a data set than its makers say."""
    for split in SPLITS if counts else ():
        told = getattr(counts, f"{split}_images")
        if told != len(rows[split]):
            steps.log.info("%s: %d %s images, though its makers count %d", dataset, len(rows[split]), split, told)


def pack(records: Iterator[Record], images: Images, skips: Skips, writer: Writer, workers: Workers) -> None:
    """Writes the shards of all records, in their order, after those that an earlier run has written."""
    done = 0
    for entry in writer.resumed():
        done += 1
        for reason in entry["reasons"]:
            skips.add(entry["name"], reason)
    todo = workers.in_order(islice(records, done, None), images)
    for record, result in steps.progress(todo, "images"):
        keep(record, result, skips, writer)
    writer.close()


def keep(record: Record, result: Outcome, skips: Skips, writer: Writer) -> None:
    """Adds one sample, or counts why not."""
    entry: dict[str, Any] = {"name": record.name, "reasons": [result] if isinstance(result, str) else result.faults}
    for reason in entry["reasons"]:
        skips.add(record.name, reason)
    if not isinstance(result, str):
        known = {
            "id": record.id,
            "captions": list(record.captions),
            "label": record.label,
            "categories": list(record.categories),
            "attributes": record.attributes,
            "objects": result.objects,
            "size": list(result.size),
        }
        entry |= {"split": record.split, "row": writer.shards[record.split].add(known, result.data)}
    writer.note(entry)


def index_text(index: Mapping[str, Any]) -> str:
    """JSON with one line for each image, quick to write and to search."""
    parts = []
    for key, value in index.items():
        rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in value) if key in SPLITS else ""
        parts.append(f'"{key}": ' + (f"[\n{rows}\n]" if key in SPLITS else json.dumps(value, ensure_ascii=False)))
    return "{\n" + ",\n".join(parts) + "\n}\n"


if __name__ == "__main__":
    steps.run(main)
