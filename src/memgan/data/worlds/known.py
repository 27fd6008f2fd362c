"""The embedded worlds by name. Apart, so that a step which needs one part of a world depends on no more than that."""

from types import ModuleType

from memgan.data.worlds import birdworld, sceneworld

WORLDS: dict[str, ModuleType] = {"birdworld": birdworld, "sceneworld": sceneworld}
