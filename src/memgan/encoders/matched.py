"""Text and image encoder as DAMSM has matched them (SPEC 7), read back from what `memgan.encoders.damsm` wrote.

Apart from their training, so that a step which uses them depends neither on it nor on the download of ImageNet's weights.
"""

from pathlib import Path

from memgan.device import placed
from memgan.encoders import fit
from memgan.encoders.image import ImageEncoder
from memgan.encoders.text import TextEncoder
from memgan.encoders.vocabulary import Vocabulary
from memgan.errors import InputError
from memgan.params.data import Images
from memgan.params.encoders import Damsm

STEP = "memgan.encoders.damsm"  # which trains them
SHAPE = ("dimension", "word_embedding", "words", "image_encoder", "width")  # entries that the networks depend on


def load_damsm(path: Path, params: Damsm, images: Images, vocabulary: Vocabulary) -> tuple[TextEncoder, ImageEncoder]:
    """The trained encoders, in eval mode, without gradients on their parameters (images still get theirs).

    Raises InputError if the file belongs to other parameters, another image size or another vocabulary.
    """
    expected = {f"damsm.{name}": getattr(params, name) for name in SHAPE} | {"images.size": images.size}
    tensors, manifest = fit.read_network(path, STEP, expected)
    if manifest.get("vocabulary") != vocabulary.digest:
        raise InputError(f"{path}: made with another vocabulary; make it again: `snakemake --cores all {path}`")
    encoders = TextEncoder(len(vocabulary), params), ImageEncoder(params, images.size)
    for name, encoder in zip(("text", "image"), encoders, strict=True):
        encoder.load_state_dict(fit.under(name, tensors))
        placed(encoder).eval().requires_grad_(False)
    return encoders
