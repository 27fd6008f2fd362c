"""Words of the training captions (SPEC 7), and captions as rows of word numbers.

python -m memgan.encoders.vocabulary --images ... --dataset ... --out vocabulary.json
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from typer import Option

from memgan import artifacts, steps
from memgan.data.shards import ImageFolder
from memgan.errors import InputError
from memgan.params.encoders import Damsm
from memgan.params.load import Settings

if TYPE_CHECKING:
    from torch import Tensor

END, UNKNOWN = 0, 1
WORD = re.compile(r"\w+")


def words_of(caption: str) -> list[str]:
    r"""The caption's words: matches of `\w+`, lower case [lineage: AttnGAN, data sets' tokenizer]."""
    return WORD.findall(caption.lower())


def count_words(captions: Iterable[str], min_count: int) -> list[tuple[str, int]]:
    """Words seen at least `min_count` times and their counts: the commonest first, equal ones in alphabetical order."""
    counts = Counter(word for caption in captions for word in words_of(caption))
    return sorted(((w, n) for w, n in counts.items() if n >= min_count), key=lambda pair: (-pair[1], pair[0]))


class Vocabulary:
    """The known words. Number 0 ends and pads a caption, 1 is any unknown word, 2 the commonest word."""

    def __init__(self, words: Sequence[str]):
        self.words = tuple(words)
        self.numbers = {word: number for number, word in enumerate(self.words, start=2)}

    def __len__(self) -> int:
        return len(self.words) + 2

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Reads what the step wrote. Raises InputError if the file is missing or no vocabulary."""
        content = artifacts.read_json(path)
        words = content.get("words") if isinstance(content, dict) else None
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise InputError(f"{path}: this is no vocabulary (a list `words` is missing); delete it and run again")
        return cls(words)

    @cached_property
    def digest(self) -> str:
        """sha256 of the words in order: networks note it, so that another vocabulary's weights are refused."""
        return hashlib.sha256("\n".join(self.words).encode()).hexdigest()

    def tokens(self, caption: str) -> list[int]:
        """Word numbers of the whole caption; a caption without any word is one unknown word."""
        return [self.numbers.get(word, UNKNOWN) for word in words_of(caption)] or [UNKNOWN]

    def encode(self, captions: Sequence[str], words: int, rng: np.random.Generator | None = None) -> "tuple[Tensor, Tensor]":
        """Captions as tensors (tokens int64 [B, L = words] padded with 0, lengths int64 [B], at least 1).

        A longer caption keeps an ordered random subset of L words if `rng` is given (training), else its first L (SPEC 7).
        """
        import torch  # here: the step counts words and does without

        tokens = np.full((len(captions), words), END, dtype=np.int64)
        lengths = np.empty(len(captions), dtype=np.int64)
        for row, caption in enumerate(captions):
            numbers = self.tokens(caption)
            if len(numbers) > words:
                kept = range(words) if rng is None else np.sort(rng.permutation(len(numbers))[:words])
                numbers = [numbers[i] for i in kept]
            tokens[row, : len(numbers)] = numbers
            lengths[row] = len(numbers)
        return torch.from_numpy(tokens), torch.from_numpy(lengths)


def main(
    images: Annotated[Path, Option(help="preprocessed images, a folder")],
    dataset: Annotated[str, Option(help="entry under `data` of params.yaml")],
    out: Annotated[Path, Option(help="vocabulary to write, JSON")],
) -> None:
    """Counts the words of the training captions."""
    damsm = Settings(dataset).block("damsm", Damsm)
    rows = ImageFolder(images, "train").rows
    pairs = count_words((caption for row in rows for caption in row["captions"]), damsm.min_count)
    if not pairs:
        raise InputError(f"{images}: no word occurs {damsm.min_count} times in the training captions; lower damsm.min_count")
    manifest = artifacts.manifest("memgan.encoders.vocabulary", {"damsm": {"min_count": damsm.min_count}}, {"images": images})
    words, counts = zip(*pairs, strict=True)
    artifacts.write_json(out, {"words": words, "counts": counts, "manifest": manifest})
    steps.log.info("vocabulary: %d words in the captions of %d images", len(words), len(rows))


if __name__ == "__main__":
    steps.run(main)
