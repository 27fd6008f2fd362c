"""The memory bank: `memory` (SPEC 3, 4)."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from memgan.params.base import Block, entry

Strategy = Literal["sentence_sentence", "words_words", "sentence_image", "words_image", "both", "random", "oracle"]


class Memory(Block):
    """How a caption finds its feature."""

    strategy: Strategy = entry("which similarity picks the image (SPEC 4)")
    text_weight: float = entry("`both`: weight of the text score, the image score gets the rest", ge=0, le=1)
    candidates: Annotated[int, Field(ge=1)] | Literal["all"] = entry("word level: how many images the sentence level hands on")
    index: Literal["flat", "ivf", "pq"] = entry("FAISS index: exact, inverted lists, inverted lists of product codes")
    lists: int = entry("ivf, pq: inverted lists; 0 is the square root of the number of vectors", ge=0)
    probes: int = entry("ivf, pq: lists searched", gt=0)
    code_bytes: int = entry("pq: bytes a vector", gt=0)

    @field_validator("candidates", mode="wrap")
    @classmethod
    def _counted_or_all(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        try:
            return check(value)
        except ValidationError:  # it has a fault for each kind that is allowed, under a key of pydantic's making
            raise ValueError("write a whole number from 1, or `all`") from None
