"""Step: scores another system's images under our protocol: a folder or archive of images and a CSV become a row of the tables.

python -m memgan.methods.external --method NAME --samples images.zip --captions captions.csv ... --out metrics.json

The entry `methods.NAME` of params.yaml names data set and files (`memgan.params.methods`). A rule of its own scores each of them.
"""

import csv
import io
import tarfile
import tempfile
from pathlib import Path
from typing import Annotated, Any

import torch
from typer import Option

from memgan import steps
from memgan.artifacts import manifest, write_json
from memgan.data.images import UnusableError, decode
from memgan.data.readers.records import tidy
from memgan.data.shards import ImageFolder
from memgan.data.source import members
from memgan.errors import InputError
from memgan.metrics.measure import score_samples
from memgan.metrics.protocol import Inputs, Protocol
from memgan.metrics.reference import load_reference, say
from memgan.metrics.samples import Samples
from memgan.params.evaluation import Sampling
from memgan.params.load import PATH, Settings, validated
from memgan.params.methods import Method

STEP = "memgan.methods.external"
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
Record = dict[str, Any]


def main(
    method: Annotated[str, Option(help="entry under `methods` of params.yaml")],
    samples: Annotated[Path, Option(help="its images: folder, tar, tgz or zip")],
    captions: Annotated[Path, Option(help="what each was made from, CSV")],
    images: Annotated[Path, Option(help="preprocessed images")],
    vocabulary: Annotated[Path, Option(help="the words known")],
    damsm: Annotated[Path, Option(help="text and image encoders")],
    evaluator: Annotated[Path, Option(help="the network that judges")],
    reference: Annotated[Path, Option(help="features and statistics of the real images")],
    out: Annotated[Path, Option(help="scores, JSON")],
) -> None:
    """Scores another system's images."""
    entry = entry_of(method)
    settings = Settings(entry.dataset)
    steps.set_threads(settings.value("threads"))
    protocol = Protocol(settings, Inputs(images, vocabulary, damsm, evaluator))
    real, _ = load_reference(reference, protocol)
    records = read_records(captions, protocol.test)
    expected = settings.block("sampling", Sampling).samples
    if len(records) != expected:
        steps.log.info("%s: %d images; our own rows have %d, and FID depends on it", method, len(records), expected)
    with tempfile.TemporaryDirectory() as folder:
        shard = Path(folder) / "0.tar"
        pack(shard, samples, captions, records, protocol.images.size)
        scores, _ = score_samples(protocol, Samples([shard]), real)
    files = {"samples": samples, "captions": captions, "images": images, "vocabulary": vocabulary, "damsm": damsm}
    files |= {"evaluator": evaluator, "reference": reference}
    written = manifest(STEP, {"metrics": protocol.params.model_dump(), "method": entry.model_dump()}, files)
    resolved = {"dataset": entry.dataset, "method": entry.name or method, "uses": entry.uses}
    write_json(out, {"metrics": scores, "resolved": resolved, "manifest": written})
    say(method, scores)


def entry_of(method: str) -> Method:
    """The method's entry in params.yaml. Raises InputError if there is none."""
    settings = Settings()
    if method not in (known := settings.tree.get("methods", {})):
        raise InputError(f"{PATH}: there is no method `{method}` under `methods`; known: {', '.join(known) or 'none'}")
    return validated(Method, settings.entry("methods", method), PATH, f"methods.{method}")


def read_records(path: Path, test: ImageFolder) -> dict[str, Record]:
    """What each image was made from: name -> record as beside our own samples.

    `test` is the test split. Raises InputError for other columns, a name that comes twice, and a caption that no test image has.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file; correct `captions` of the method in params.yaml") from None
    except (UnicodeDecodeError, csv.Error) as fault:
        raise InputError(f"{path}: this is no CSV in UTF-8 ({fault}); write it again") from None
    key = next((name for name in ("caption_id", "caption") if lines and name in lines[0]), None)
    if key is None or "image" not in lines[0]:
        raise InputError(f"{path}: it needs the columns `image` and `caption_id` or `caption`, and at least one line")
    known, shared = _captions(test, key)
    records: dict[str, Record] = {}
    for number, line in enumerate(lines, start=2):
        name, wanted = line["image"], line[key]
        wanted = tidy(wanted) if key == "caption" and wanted else wanted  # as the readers keep them
        if name in records:
            raise InputError(f"{path}: line {number}: {name} comes twice; give each image one caption")
        if wanted not in known:
            raise InputError(f"{path}: line {number}: no test image has the {key.replace('_', ' ')} {wanted!r}; mend the line")
        records[name] = {"index": len(records), "neighbour": None, **known[wanted]}
    if unsure := sum(record[key] in shared for record in records.values()):
        steps.log.info("%s: %d captions fit several test images; the first is taken, `caption_id` would tell", path, unsure)
    return records


def _captions(test: ImageFolder, key: str) -> tuple[dict[str, Record], set[str]]:
    """Every test caption by its id or text, and those that several images have, for which the first one's record stands."""
    found: dict[str, Record] = {}
    shared: set[str] = set()
    for row, entry in enumerate(test.rows):
        for j, caption in enumerate(entry["captions"]):
            record = {"row": row, "image_id": entry["id"], "caption": caption, "caption_id": f"{entry['id']}#{j}"}
            if found.setdefault(record[key], record)["row"] != row:
                shared.add(record[key])
    return found, shared


def pack(shard: Path, source: Path, captions: Path, records: dict[str, Record], size: int) -> None:
    """Writes the images and their records as one shard of samples.

    Raises InputError for an image that has no caption, does not decode or has another size, and for a caption without an image.
    """
    left = dict(records)
    with tarfile.open(shard, "w", format=tarfile.USTAR_FORMAT) as archive:
        for member in members(source):
            if Path(member.name).suffix.lower() not in PICTURES:
                continue
            if member.name not in left:
                raise InputError(f"{captions}: {source} holds {member.name}, which has no line here; add it or remove the image")
            content = _png(member.read(), f"{source}: {member.name}", size)
            info = tarfile.TarInfo(f"{left.pop(member.name)['index']:06d}.png")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    if left:
        raise InputError(f"{source}: {len(left)} images of {captions} are not in it, the first is {next(iter(left))}; add them")
    write_json(shard.with_suffix(".json"), {"samples": list(records.values())})


def _png(data: bytes, name: str, size: int) -> bytes:
    try:
        image = decode(data)
    except UnusableError as fault:
        raise InputError(f"{name}: {fault}; make it again") from None
    if image.size != (size, size):
        raise InputError(f"{name}: is {image.width} x {image.height} px, the protocol's images are {size} x {size}; scale them all")
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=1)
    return content.getvalue()


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    steps.run(main)
