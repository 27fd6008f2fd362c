"""The protocol of one data set: which extractors judge, on which real images, with which captions (SPEC 12).

Everything that is scored passes through here, whether it is ours, real or somebody else's, so that all rows of a data set's
table mean the same.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from memgan.artifacts import seed_of, sha256
from memgan.data.download import local
from memgan.data.shards import ImageFolder
from memgan.data.worlds.grammar import ABSENT
from memgan.data.worlds.readers import READERS
from memgan.device import beside
from memgan.encoders.judges import load_evaluator
from memgan.encoders.matched import load_damsm
from memgan.encoders.text import TextEncoder
from memgan.encoders.vocabulary import Vocabulary
from memgan.metrics import attributes, extractor
from memgan.metrics.detector import YOLOV3, Darknet, presence
from memgan.metrics.naming import named_categories
from memgan.metrics.rprecision import Captions
from memgan.params.data import Images
from memgan.params.encoders import Damsm
from memgan.params.evaluation import Metrics
from memgan.params.load import Settings

FEATURES = {"evaluator": "features", extractor.COMPAT: "2048", extractor.TORCHVISION: "2048"}
LOGITS = {"evaluator": "logits", extractor.COMPAT: "logits_unbiased"}
BATCH = 200  # captions encoded at once
Passes = dict[str, dict[str, Tensor]]  # extractor -> output -> [n, F]


@dataclass(frozen=True)
class Inputs:
    """Files that the protocol reads."""

    images: Path
    vocabulary: Path
    damsm: Path
    evaluator: Path


class Protocol:
    """Extractors, test images and captions of one data set."""

    def __init__(self, settings: Settings, inputs: Inputs):
        dataset = self.dataset = settings.dataset
        self.inputs = inputs
        self.params, self.seed = settings.block("metrics", Metrics), settings.value("seed")
        self.images, self.damsm_block = settings.block("images", Images), settings.block("damsm", Damsm)
        source = settings.source()
        self.world_name = source.world.name if source.world else None
        self.world = READERS[self.world_name] if self.world_name else None
        self.test = ImageFolder(inputs.images, "test")
        self.captions = Captions.of(self.test.rows)
        self.evaluator, self.damsm = f"evaluator:{dataset}", f"damsm:{dataset}"
        self.fidelity = self._name(self.params.fidelity)
        self.scorer = self._name(self.params.inception_score)
        self._load()

    def _name(self, kind: str) -> str:
        return self.evaluator if kind == "evaluator" else kind

    def _load(self) -> None:
        self.vocabulary = Vocabulary.load(self.inputs.vocabulary)
        self.text, image = load_damsm(self.inputs.damsm, self.damsm_block, self.images, self.vocabulary)
        extractor.register(self.damsm, image)
        judge = load_evaluator(self.inputs.evaluator)
        self.heads: Mapping[str, Sequence[str]] = judge.heads
        extractor.register(self.evaluator, judge)
        if self.params.fid_tv:
            extractor.register_torchvision()
        if extractor.COMPAT in self.extractors:
            extractor.compat_weights()
        if self.detector == YOLOV3:
            _ = self.darknet  # now, and not after hours of other scores, it is told what is missing

    @property
    def extractors(self) -> list[str]:
        """Names of all that judge, each once."""
        names = [self.damsm, self.fidelity, self.scorer]
        names += [extractor.TORCHVISION] if self.params.fid_tv else []
        names += [self.evaluator] if self.world or self.detector == self.evaluator else []
        return list(dict.fromkeys(names))

    @property
    def detector(self) -> str | None:
        """Who looks for the objects of SOA; nobody where there are no categories."""
        if not self.test.categories:
            return None
        return self.evaluator if self.params.detector == "evaluator" else YOLOV3

    @property
    def of_quality(self) -> list[str]:
        """Names of those that compare image with image."""
        return [self.fidelity, *([extractor.TORCHVISION] if self.params.fid_tv else [])]

    @property
    def signature(self) -> dict[str, Any]:
        """What a reference must have been made with to be comparable."""
        texts = hashlib.sha256("\n".join(self.captions.texts).encode()).hexdigest()
        drawn = {"seed": self.seed, "real_images": self.params.real_images}
        return {"extractors": self.extractors, "captions": texts, **drawn, **self._digests}

    @cached_property
    def _digests(self) -> dict[str, str]:
        files = {"images": self.inputs.images / "index.json", "evaluator": self.inputs.evaluator, "damsm": self.inputs.damsm}
        return {role: sha256(path) for role, path in files.items()}

    def passes(self, images: Dataset, only: Sequence[str] | None = None) -> Passes:
        """Each extractor (or those of `only`) once over the images."""
        return {name: extractor.extract(name, images) for name in self.extractors if only is None or name in only}

    def features(self, passes: Passes, name: str | None = None) -> Tensor:
        """What FID compares: [n, F] of the fidelity extractor or of the one named."""
        name = name or self.fidelity
        return passes[name][FEATURES[name.partition(":")[0]]]

    def logits(self, passes: Passes) -> tuple[Tensor, str]:
        """What IS judges, [n, classes], and the name of the extractor with the heads it used."""
        name = self.scorer
        if name != self.evaluator:
            return passes[name][LOGITS[name]], name
        heads = extractor.joint_heads({head: len(values) for head, values in self.heads.items()})
        return passes[name]["logits"], f"{name} ({' x '.join(heads)})"

    def seen(self, passes: Passes) -> dict[str, np.ndarray]:
        """What the evaluator sees: attribute -> int64 [n], index of the likeliest value."""
        parts = passes[self.evaluator]["heads"].split([len(values) for values in self.heads.values()], dim=1)
        return {name: part.argmax(dim=1).numpy() for name, part in zip(self.heads, parts, strict=True)}

    def allowed(self, captions: Sequence[str]) -> dict[str, np.ndarray]:
        """What captions allow (`attributes.allowed`); only on the worlds."""
        claims = {caption: self.world.read_caption(caption) for caption in set(captions)}
        return attributes.allowed([claims[caption] for caption in captions], self.heads)

    def truth(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """True attributes of images by their rows (`attributes.truth`); only on the worlds."""
        return attributes.truth(rows, self.heads)

    def named(self, captions: Sequence[str]) -> np.ndarray:
        """Which object categories each caption names: bool [n, C]."""
        return named_categories(captions, self.test.categories, self.world_name)

    def found(self, images: Dataset, passes: Passes | None = None) -> np.ndarray:
        """Which object categories the detector finds in each image: bool [n, C]; `passes` over them, if there were any.

        The evaluator has a head for each category, of which one value is that there is none.
        """
        categories = self.test.categories
        if self.detector != self.evaluator:
            return presence(self.darknet, images, categories)
        seen = self.seen(passes if passes is not None else self.passes(images, [self.evaluator]))
        absent = {name: [value in ABSENT for value in self.heads[name]] for name in categories}
        return ~np.stack([np.array(absent[name])[seen[name]] for name in categories], axis=1)

    @cached_property
    def darknet(self) -> Darknet:
        """The detector of photographs; its files are fetched if need be."""
        key = f"data.{self.dataset}.metrics.detector_files"
        cfg, weights, names = (local(self.params.detector_files[role], f"{key}.{role}") for role in ("cfg", "weights", "names"))
        detector = Darknet(cfg, weights, names, self.params)
        detector.columns(self.test.categories)
        return detector

    def drawn(self) -> list[int]:
        """Rows of the real test images that are compared with: all, or `metrics.real_images` of them, drawn by seed."""
        return draw(len(self.test), self.params.real_images, self.seed, "real images")

    @torch.no_grad()
    def sentences(self, captions: Sequence[str]) -> Tensor:
        """DAMSM's sentence embeddings: float32 [n, D]."""
        encoder: TextEncoder = self.text
        parts = []
        for start in range(0, len(captions), BATCH):
            tokens, lengths = self.vocabulary.encode(list(captions[start : start + BATCH]), self.damsm_block.words)
            parts.append(encoder(beside(encoder, tokens), lengths)[1].cpu())
        return torch.cat(parts).float()


def draw(total: int, count: int, seed: int, purpose: str) -> list[int]:
    """`count` of `total` rows without replacement, ascending; all if there are no more."""
    if total <= count:
        return list(range(total))
    rng = np.random.default_rng(seed_of(seed, purpose))
    return sorted(rng.choice(total, count, replace=False).tolist())
