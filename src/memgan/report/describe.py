"""What the networks are: shapes, parameters and multiply-adds of each part, without a weight in memory (`memgan describe`).

Every network is built on PyTorch's `meta` device, where tensors have a shape and no numbers, and runs once on one image and one
caption. Multiply-adds are those of convolutions, matrix products and LSTMs (half of what `torch.utils.flop_counter` counts);
normalisation, pooling and other work element by element is not in them.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from memgan.data.shards import ImageFolder
from memgan.data.worlds.readers import READERS
from memgan.encoders.examples import Heads, judgements
from memgan.encoders.feature_network import FeatureNetwork
from memgan.encoders.image import ImageEncoder
from memgan.encoders.judges import FineTuned, judge
from memgan.encoders.text import TextEncoder
from memgan.encoders.vocabulary import Vocabulary
from memgan.gan.discriminator import Discriminator
from memgan.gan.generator import Generator, Inputs
from memgan.gan.whitening import Whitening
from memgan.params import encoders
from memgan.params.data import Images
from memgan.params.encoders import Damsm, Features
from memgan.params.gan import Gan
from memgan.params.load import Settings

Shape = list[int]
Parts = Mapping[tuple[str, int | None], nn.Module]  # (what, stage) -> module


class Part(NamedTuple):
    """One part of a network, for one image; shapes are without the batch."""

    part: str
    stage: int | None  # from 1; None: belongs to no stage
    inputs: list[Shape]
    outputs: list[Shape]
    parameters: int | None  # None: not known before there is a vocabulary
    multiply_adds: int


def describe(dataset: str, run: str) -> dict[str, Any]:
    """All networks of a data set as a run sees them: {"dataset", "run", "networks": [...], "notes": [...]}.

    Each network has its parts (see `Part`) and their sums. Raises InputError for names that params.yaml does not know.
    """
    settings = Settings(dataset, run)
    root = Path("results") / dataset
    vocabulary = Vocabulary.load(root / "vocabulary.json") if (root / "vocabulary.json").exists() else None
    heads = judged(settings, root, vocabulary)
    with torch.device("meta"), torch.no_grad():
        networks = [generator(settings), *discriminators(settings), *readers(settings, vocabulary), scoring(settings, heads)]
    notes = ["one image and one caption; multiply-adds of convolutions, matrix products and LSTMs"]
    if settings.block("gan", Gan).image_features:
        notes.append("ACM: makes a scale and a shift of the image feature; its stage or head takes them beside the hidden map")
    if vocabulary is None:
        words = settings.block("damsm", Damsm).word_embedding
        notes.append(f"word table: {words} parameters for each word of the vocabulary, which is made from the training captions")
    inception, vgg = (
        settings.block("damsm", Damsm).image_encoder != "small",
        settings.block("features", Features).network != "small",
    )
    if frozen := ["the trunk of the image encoder"] * inception + ["VGG-16"] * vgg:
        notes.append(f"frozen, with ImageNet's weights: {', '.join(frozen)}")
    if heads is None:
        notes.append("evaluator: its heads, one output for each value that is judged, follow from the preprocessed images")
    return {"dataset": dataset, "run": run, "networks": networks, "notes": notes}


def judged(settings: Settings, root: Path, vocabulary: Vocabulary | None) -> Heads | None:
    """What the evaluator judges; None where that follows from images that are not there yet."""
    if world := settings.source().world:
        return READERS[world.name].ATTRIBUTES
    if vocabulary is None or not (root / "images").is_dir():
        return None
    split = settings.block("evaluator", encoders.Evaluator).split
    return judgements(ImageFolder(root / "images", split), vocabulary)[0]


def generator(settings: Settings) -> dict[str, Any]:
    """G: conditioning augmentation, image features, stages, heads; `of_feature` are the multiply-adds that depend on v alone."""
    gan, images, damsm, features = (
        settings.block(name, block) for name, block in (("gan", Gan), ("images", Images), ("damsm", Damsm), ("features", Features))
    )
    network = Generator(gan, images, damsm.dimension, features.channels)
    whitened = {"whitening of s": network.sentence, "whitening of the mean w": network.words}
    parts: dict[tuple[str, int | None], nn.Module] = {
        (n, None): part for n, part in whitened.items() if isinstance(part, Whitening)
    }
    parts |= {("conditioning augmentation", None): network.augmentation}
    of_v: dict[tuple[str, int | None], nn.Module] = {}
    if network.branch is not None:
        of_v |= {("image feature", k): up for k, up in enumerate(network.branch.ups, 1)}
        of_v |= {("next stage's ACM", k): stage.acm for k, stage in enumerate(network.nexts, 2)}
        of_v |= {("head's ACM", k): head.acm for k, head in enumerate(network.heads, 1)}
    parts |= of_v | {("first stage", 1): network.first} | {("next stage", k): stage for k, stage in enumerate(network.nexts, 2)}
    parts |= {("head", k): head for k, head in enumerate(network.heads, 1)}
    sizes = (damsm.dimension,), (damsm.dimension,), (gan.z,), (gan.condition,), (features.channels, *[images.feature_side] * 2)
    given = Inputs(*(torch.empty(1, *size) for size in sizes))
    found, total = measured(network, parts, lambda: network(given))
    of_feature = sum(part.multiply_adds for part in found if (part.part, part.stage) in of_v)
    return summed("generator", found, total) | {"of_feature": of_feature}


def discriminators(settings: Settings) -> list[dict[str, Any]]:
    """D of each stage: content scales, blocks, both heads; for one image with one caption."""
    gan, images, damsm = settings.block("gan", Gan), settings.block("images", Images), settings.block("damsm", Damsm)
    described = []
    for stage in range(1, gan.stages + 1):
        side = images.size >> (gan.stages - stage)
        network = Discriminator(side, gan, settings.value("pooling"), damsm.dimension)
        described.append(discriminator(network, stage, side, damsm.dimension))
    return described


def discriminator(network: Discriminator, stage: int, side: int, dimension: int) -> dict[str, Any]:
    """One D. What its joint block does outside its `forward`, the part that all captions share, is counted with it."""
    encoder = network.encoder
    parts: dict[tuple[str, int | None], nn.Module] = {("content", stage): encoder.content} if encoder.content is not None else {}
    parts |= {(f"block {k}", stage): block for k, block in enumerate(encoder.downs, 1)}
    parts |= {("back to 8 ndf", stage): encoder.tail} if len(encoder.tail) else {}
    parts |= {("unconditional head", stage): network.unconditional, ("joint block", stage): network.joint}
    parts |= {("conditional head", stage): network.conditional}

    def run() -> None:
        seen = network.see(torch.empty(1, 3, side, side))
        network.judge(seen)
        network.judge_with(seen, torch.empty(1, dimension))

    found, total = measured(network, parts, run)
    rest = total - sum(part.multiply_adds for part in found)
    found = [p._replace(multiply_adds=p.multiply_adds + rest) if p.part == "joint block" else p for p in found]
    scales = next((len(part.outputs) for part in found if part.part == "content"), 0)
    return summed(f"discriminator {stage}", found, total) | {"content_scales": scales}


def readers(settings: Settings, vocabulary: Vocabulary | None) -> list[dict[str, Any]]:
    """DAMSM's two encoders and the network of v."""
    damsm, images, features = settings.block("damsm", Damsm), settings.block("images", Images), settings.block("features", Features)
    text = TextEncoder(2 if vocabulary is None else len(vocabulary), damsm)
    tokens = torch.zeros(1, damsm.words, dtype=torch.int64)
    parts: Parts = {("word table", None): text.embedding, ("bi-LSTM", None): text.rnn}
    # not `text` itself: its packing of captions by their length needs numbers
    (table, lstm), total = measured(text, parts, lambda: text.rnn(text.embedding(tokens)))
    table = table._replace(parameters=None) if vocabulary is None else table
    lstm = lstm._replace(outputs=[[damsm.dimension, damsm.words], [damsm.dimension]])  # w and s
    picture = torch.empty(1, 3, images.size, images.size)
    image, v = ImageEncoder(damsm, images.size), FeatureNetwork(features, images)
    parts = {("trunk", None): image.trunk, ("regions", None): image.regions, ("global", None): image.globals}
    return [
        summed(f"text encoder, {damsm.words} words", [table, lstm], total),
        summed(f"image encoder, {damsm.image_encoder}", *measured(image, parts, lambda: image(picture))),
        summed(f"network of v, {features.network}", *measured(v, {("layers", None): v.layers}, lambda: v(picture))),
    ]


def scoring(settings: Settings, heads: Heads | None) -> dict[str, Any]:
    """The evaluator; without known `heads` as far as its features."""
    params, images = settings.block("evaluator", encoders.Evaluator), settings.block("images", Images)
    network = judge(params, images.size, heads or {"unknown": ("one",)})
    picture = torch.empty(1, 3, images.size, images.size)
    parts: dict[tuple[str, int | None], nn.Module] = (
        {("trunk", None): network.trunk}
        if isinstance(network, FineTuned)
        else {("trunk", None): network.body, ("features", None): network.summary}
    )
    if heads is None:
        return summed("evaluator", *measured(network, parts, lambda: network.features(picture)))
    return summed("evaluator", *measured(network, parts | {("heads", None): network.judge}, lambda: network.logits(picture)))


def measured(network: nn.Module, parts: Parts, run: Callable[[], Any]) -> tuple[list[Part], int]:
    """The parts, in their order, as one `run` of the network in eval mode uses them, and the multiply-adds of the whole run.

    What lies in another part, and is a part itself, is counted there.
    """
    counter, found, hooks = FlopCounterMode(display=False), {}, []
    network.eval()  # batch statistics need more than one image
    for key, module in parts.items():
        began = {}
        apart = {p for other in parts.values() if other is not module and other in module.modules() for p in other.parameters()}

        def before(_module, _given, key=key, began=began) -> None:
            began[key] = counter.get_total_flops()

        def after(module, given, made, key=key, began=began, apart=apart) -> None:
            count = (counter.get_total_flops() - began[key]) // 2
            own = sum(p.numel() for p in module.parameters() if p not in apart)
            found[key] = Part(*key, shapes(given), shapes(made), own, count)

        hooks += [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
    with counter:
        run()
    for hook in hooks:
        hook.remove()
    return [found[key] for key in parts], counter.get_total_flops() // 2


def shapes(value: Any) -> list[Shape]:
    """Shapes, without the batch, of the tensors in a tensor or a nest of lists and tuples."""
    if isinstance(value, Tensor):
        return [list(value.shape[1:])]
    return [shape for item in value for shape in shapes(item)] if isinstance(value, list | tuple) else []


def summed(name: str, parts: list[Part], total: int) -> dict[str, Any]:
    """A network's entry."""
    return {
        "network": name,
        "parts": [part._asdict() for part in parts],
        "parameters": sum(part.parameters or 0 for part in parts),
        "multiply_adds": total,
    }


COLUMNS = ("", "stage", "input", "output", "parameters", "mult-adds, M")


def table(described: Mapping[str, Any]) -> str:
    """What `describe` gives, as text of a terminal: a block for each network, its parts, its sums."""
    rows: list[tuple[str, ...] | None] = [COLUMNS]
    for network in described["networks"]:
        rows += [None, (network["network"], "", "", "", *figures(network))]
        rows += [
            (f"  {p['part']}", str(p["stage"] or ""), joined(p["inputs"]), joined(p["outputs"]), *figures(p))
            for p in network["parts"]
        ]
    widths = [max(len(row[i]) for row in rows if row) for i in range(len(COLUMNS))]
    return "\n".join([*(line(row, widths) for row in rows), "", *described["notes"]])


def line(row: tuple[str, ...] | None, widths: list[int]) -> str:
    """One line; names and shapes to the left, numbers to the right. None is an empty line."""
    if row is None:
        return ""
    cells = [f"{cell:<{width}}" if i < 4 else f"{cell:>{width}}" for i, (cell, width) in enumerate(zip(row, widths, strict=True))]
    return "  ".join(cells).rstrip()


def figures(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Parameters, and multiply-adds in millions."""
    parameters = "?" if entry["parameters"] is None else f"{entry['parameters']:,}"
    return parameters, f"{entry['multiply_adds'] / 1e6:,.2f}"


def joined(given: list[Shape]) -> str:
    """Shapes in a row; of more than three the first and the last."""
    said = ["x".join(map(str, shape)) for shape in given]
    return f"{said[0]} ... {said[-1]} ({len(said)})" if len(said) > 3 else " + ".join(said)
