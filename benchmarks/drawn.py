"""Birds that the world draws for a benchmark, through the steps of every raw image: JPEG, the short side, the centre."""

import numpy as np

from memgan.data.images import decode, geometry, resized
from memgan.data.worlds import birdworld
from memgan.data.worlds.drawing import jpeg
from memgan.params.data import Images, World


def drawn(bird: dict[str, str], rng: np.random.Generator, world: World, images: Images) -> np.ndarray:
    """A bird with these attributes, its pose and shades from `rng`: uint8 [size, size, 3]."""
    image, _ = birdworld.draw(bird, rng, world.side, world.pose)
    image = decode(jpeg(image))
    small = resized(image, geometry(*image.size, images.short_side, None, None))
    edge = (images.short_side - images.size) // 2
    return np.asarray(small)[edge : edge + images.size, edge : edge + images.size]
