"""Weights that others trained and published: where they come from, and how to tell that they are the right ones.

They are looked for in torch's own cache ($TORCH_HOME/hub/checkpoints) or the folder MEMGAN_MIRROR, fetched into the cache where
they are missing, and checked each time. `memgan download --check` asks every address.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torchvision.models import Inception_V3_Weights, VGG16_Weights

from memgan.data.fetch import fetch, name_of


@dataclass(frozen=True)
class Published:
    """A file: its addresses in order, its checksum (`sha256:` may be followed by the head alone), its size in bytes if known."""

    urls: tuple[str, ...]
    checksum: str
    bytes: int | None
    what: str

    @property
    def name(self) -> str:
        """Of the file."""
        return name_of(self.urls)


DARKNET = "https://raw.githubusercontent.com/pjreddie/darknet/master/"
FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
PYTORCH_FID = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"

WEIGHTS = {
    "vgg16": Published(
        (VGG16_Weights.IMAGENET1K_V1.url,),
        "sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553433881,
        "VGG-16 (v)",
    ),
    "inception_v3": Published(
        (Inception_V3_Weights.IMAGENET1K_V1.url,),
        "sha256:0cc3c7bd",  # all that its makers tell, in its name
        108949747,
        "Inception-v3 (DAMSM)",
    ),
    "fidelity": Published(
        (FIDELITY, PYTORCH_FID),  # the same bytes under two names
        "sha256:6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        95628359,
        "Inception (FID)",
    ),
    "yolov3.weights": Published(
        ("https://pjreddie.com/media/files/yolov3.weights",),
        "md5:c84e5b99d0e52cd466ae710cadf6d84c",
        248007048,
        "YOLOv3 (SOA)",
    ),
    "yolov3.cfg": Published((f"{DARKNET}cfg/yolov3.cfg",), "md5:b969a43a848bbf26901643b833cfb96c", None, "YOLOv3's layers"),
    "coco.names": Published((f"{DARKNET}data/coco.names",), "md5:8fc50561361f8bcf96b0177086e7616c", None, "its categories"),
}


def cache() -> Path:
    """Where weights lie."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def weights_file(name: str) -> Path:
    """A file of WEIGHTS, fetched if missing. Raises InputError naming it, its checksum and where a person can put it."""
    published = WEIGHTS[name]
    return fetch(published.urls, published.checksum, cache())
