"""What a training follows."""

from typing import NamedTuple

from memgan.params.data import Images
from memgan.params.encoders import Damsm
from memgan.params.gan import Gan, Pooling, Train


class Recipe(NamedTuple):
    """The blocks that a training follows."""

    gan: Gan
    train: Train
    images: Images
    damsm: Damsm
    pooling: Pooling
    seed: int
