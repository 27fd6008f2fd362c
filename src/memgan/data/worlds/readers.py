"""Each world's ideal reader by the world's name: what a caption can mention (ATTRIBUTES) and what it does (`read_caption`).

Apart from `known`, so that a step which judges images depends on no code that renders a data set.
"""

from types import ModuleType

from memgan.data.worlds import bird_captions, scene_captions

READERS: dict[str, ModuleType] = {"birdworld": bird_captions, "sceneworld": scene_captions}
