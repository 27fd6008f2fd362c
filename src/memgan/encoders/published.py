"""Weights that others trained and published: where they come from, and how to tell that they are the right ones.

They are looked for in torch's own cache ($TORCH_HOME/hub/checkpoints) or the folder MEMGAN_MIRROR, fetched into the cache where
they are missing, and checked each time. `memgan download --check` asks every address.
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from memgan.data.fetch import fetch, name_of


@dataclass(frozen=True)
class Published:
    """A file: its checksum (`sha256:` may be followed by the head alone), its size in bytes if known, and where it comes from:

    addresses in order, after that of an entry of torchvision if one is named.
    """

    checksum: str
    bytes: int | None
    what: str
    given: tuple[str, ...] = ()
    torchvision: str = ""

    @property
    def urls(self) -> tuple[str, ...]:
        """Its addresses."""
        if not self.torchvision:
            return self.given
        from torchvision.models import get_weight  # here, since it takes as long to import as all of torch

        return get_weight(self.torchvision).url, *self.given

    @property
    def name(self) -> str:
        """Of the file."""
        return name_of(self.urls)


FIDELITY = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
PYTORCH_FID = "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth"

WEIGHTS = {
    "vgg16": Published(
        "sha256:397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553433881,
        "VGG-16 (v)",
        ("https://s3.amazonaws.com/pytorch/models/vgg16-397923af.pth",),  # where torchvision had it first
        torchvision="VGG16_Weights.IMAGENET1K_V1",
    ),
    "inception_v3": Published(
        "sha256:0cc3c7bd",  # all that its makers tell, in its name
        108949747,
        "Inception-v3 (DAMSM)",
        torchvision="Inception_V3_Weights.IMAGENET1K_V1",
    ),
    "fidelity": Published(
        "sha256:6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        95628359,
        "Inception (FID)",
        (FIDELITY, PYTORCH_FID),  # the same bytes under two names
    ),
}


def cache() -> Path:
    """Where weights lie."""
    return Path(torch.hub.get_dir()) / "checkpoints"


def weights_file(name: str) -> Path:
    """A file of WEIGHTS, fetched if missing. Raises InputError naming it, its checksum and where a person can put it."""
    published = WEIGHTS[name]
    return fetch(published.urls, published.checksum, cache())
