"""Small raw data in the layouts that the readers know, and params.yaml files that name it."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from memgan import artifacts
from memgan.params.load import read_yaml
from tests.factory import PARAMS


def picture(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    """Random smooth colours, so that JPEG keeps them well and no two pictures are alike."""
    noise = np.random.default_rng(seed).integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


ARCHIVES = {role: {"path": "x"} for role in ("images", "captions")}  # of a source that no test opens
TARS = {".tar": "w", ".tgz": "w:gz", ".bz2": "w:bz2", ".xz": "w:xz"}
ZIPS = {".bz2": zipfile.ZIP_BZIP2, ".xz": zipfile.ZIP_LZMA, ".stored": zipfile.ZIP_STORED}  # name.bz2.zip


def pack(path: Path, members: dict[str, bytes]) -> Path:
    """An archive of the kind that the path's suffix names, or a folder."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", ZIPS.get(Path(path.stem).suffix, zipfile.ZIP_DEFLATED)) as archive:
            for name, data in members.items():
                archive.writestr(name, data)
    elif path.suffix in TARS:
        with tarfile.open(path, TARS[path.suffix]) as archive:
            for name, data in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    else:
        for name, data in members.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(data)
    return path


def cub_members(count: int = 6, root: str = "CUB_200_2011/") -> tuple[dict[str, bytes], dict[str, bytes]]:
    """(images, captions): `count` pictures of three classes, the last class is test; the tables come after the pictures."""
    classes = ["001.Red_bird", "002.Blue_bird", "003.Test_bird"]
    images, captions, tables = {}, {}, {name: [] for name in ("images", "image_class_labels", "train_test_split", "bounding_boxes")}
    for i in range(count):
        kind = i % 3
        name = f"{classes[kind]}/bird.no_{i:04d}"
        images[f"{root}images/{name}.jpg"] = encoded(picture(i, 40 + i, 30), "JPEG")
        captions[f"text_c10/{name}.txt"] = f"this is bird {i}\n\n  a  second line on {i} \n".encode()
        tables["images"].append(f"{i + 1} {name}.jpg")
        tables["image_class_labels"].append(f"{i + 1} {kind + 1}")
        tables["train_test_split"].append(f"{i + 1} {int(kind < 2)}")
        tables["bounding_boxes"].append(f"{i + 1} 5.0 4.0 20.0 12.0")
    tables["classes"] = [f"{n} {name}" for n, name in enumerate(classes, start=1)]
    texts = {f"{root}{name}.txt": "".join(f"{line}\n" for line in lines).encode() for name, lines in tables.items()}
    return images | texts, captions


def coco_members(count: int = 4) -> dict[str, dict[str, bytes]]:
    """Members by role: `count` pictures a split, a dog (id 18) in each and a person (id 1) in every second, a crowd in the last."""
    roles: dict[str, dict[str, bytes]] = {"train_images": {}, "test_images": {}, "annotations": {}}
    for split, role, start in (("train", "train_images", 100), ("val", "test_images", 200)):
        images, annotations, captions = [], [], []
        for i in range(start, start + count):
            file = f"COCO_{split}2014_{i:012d}.jpg"
            roles[role][f"{split}2014/{file}"] = encoded(picture(i, 48, 36), "JPEG")
            images.append({"id": i, "file_name": file, "width": 48, "height": 36})
            annotations.append(
                {"id": i, "image_id": i, "category_id": 18, "bbox": [12, 9, 24, 18], "iscrowd": 0, "segmentation": [[1, 2]]}
            )
            if i % 2:
                crowd = int(i == start + count - 1)
                annotations.append({"id": i + 1000, "image_id": i, "category_id": 1, "bbox": [0, 0, 48, 36], "iscrowd": crowd})
            captions += [{"id": 10 * i + 9 - j, "image_id": i, "caption": f"caption {9 - j} of {i}"} for j in range(5)]
        categories = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]
        instances = {"images": images, "annotations": annotations, "categories": categories}
        roles["annotations"][f"annotations/instances_{split}2014.json"] = json.dumps(instances).encode()
        table = {"images": images, "annotations": captions}
        roles["annotations"][f"annotations/captions_{split}2014.json"] = json.dumps(table).encode()
    return roles


def write_params(folder: Path, source: dict[str, Any], images: dict[str, Any] | None = None, name: str = "own") -> None:
    """The project's params.yaml with one data set, into `folder`, which must be the working directory of what reads it."""
    changed = PARAMS | {"datasets": [name], "data": {name: {**PARAMS["data"]["photos"], "source": source, "images": images or {}}}}
    (folder / "params.yaml").write_text(yaml.safe_dump(changed, sort_keys=False), encoding="utf-8")
    read_yaml.cache_clear()


def write_sources(path: Path, layout: str, files: dict[str, Path]) -> Path:
    """A sources.json as download writes it."""
    entries = {
        role: {"path": str(p), "sha256": artifacts.sha256(p), "bytes": p.stat().st_size if p.is_file() else 0}
        for role, p in files.items()
    }
    artifacts.write_json(path, {"layout": layout, "files": entries, "manifest": {}})
    return path
