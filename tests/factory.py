"""Small things that tests need: blocks of params.yaml with changes, and networks made from them."""

from pathlib import Path
from typing import Any

import yaml

from memgan.params.data import Images
from memgan.params.encoders import Damsm, Features
from memgan.params.gan import Gan, Train

ROOT = Path(__file__).resolve().parents[1]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))


def gan_block(**changes: Any) -> Gan:
    """The project's `gan`, changed."""
    return Gan(**PARAMS["gan"] | changes)


def train_block(**changes: Any) -> Train:
    """The project's `train`, changed."""
    return Train(**PARAMS["train"] | changes)


def images_block(**changes: Any) -> Images:
    """The project's `images`, changed."""
    return Images(**PARAMS["images"] | changes)


def damsm_block(**changes: Any) -> Damsm:
    """The project's `damsm`, changed."""
    return Damsm(**PARAMS["damsm"] | changes)


def features_block(**changes: Any) -> Features:
    """The project's `features`, changed."""
    return Features(**PARAMS["features"] | changes)
