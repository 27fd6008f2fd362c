"""Every trained network can learn: on a few birds, with tiny networks, in minutes. The bounds are far from chance and from luck."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from torch import Tensor

from memgan.data import preprocess, render
from memgan.data.loader import Batch, TrainingBatches, pyramid, to_tensor
from memgan.data.shards import ImageFolder
from memgan.data.worlds import birdworld
from memgan.encoders import damsm, evaluator, fit, vgg
from memgan.encoders.examples import Renderings
from memgan.encoders.matching import sentence_scores, word_scores
from memgan.encoders.text import mask_of
from memgan.encoders.vgg import FeatureNetwork
from memgan.encoders.vocabulary import Vocabulary, count_words
from memgan.gan.engine import Engine, Recipe
from memgan.gan.sample import draw
from memgan.gan.texts import TextReader
from memgan.params.data import World
from memgan.params.encoders import Evaluator
from memgan.params.load import read_yaml
from tests.factory import PARAMS, damsm_block, features_block, gan_block, images_block, train_block

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("learning")]
WORLD = {"name": "birdworld", "train_images": 600, "test_images": 100, "side": 48, "pose": 0.2, "variation": 0.3}
GEOMETRY = images_block(size=32, short_side=34)
DAMSM = damsm_block(dimension=64, word_embedding=32, width=16, batch=32, dropout=0.0, lr=0.002)


class Birds(NamedTuple):
    """Preprocessed images of birdworld and the words of their captions."""

    folder: Path
    words: Vocabulary

    def split(self, name: str) -> tuple[ImageFolder, Tensor]:
        folder = ImageFolder(self.folder, name)
        return folder, to_tensor([folder.centre(i, GEOMETRY.size) for i in range(len(folder))])

    def pairs(self, count: int) -> Batch:
        """`count` images spread over the species, a caption each."""
        folder, images = self.split("train")
        rows = torch.linspace(0, len(folder) - 1, count).long()
        captions = [folder.rows[row]["captions"][0] for row in rows]
        assert len(set(captions)) == count
        chosen = images[rows].contiguous(memory_format=torch.channels_last)
        return Batch(pyramid(chosen, [8, 16, 32]), rows, captions, rows, torch.zeros(count, dtype=torch.bool))


@pytest.fixture(scope="module", autouse=True)
def two_threads():
    """Sums in the order of two threads, whoever runs the tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory):
    root = tmp_path_factory.mktemp("birds")
    source = PARAMS["data"]["birdworld"]["source"] | {"world": WORLD}
    tree = PARAMS | {"images": GEOMETRY.model_dump(), "data": {"birdworld": PARAMS["data"]["birdworld"] | {"source": source}}}
    (root / "params.yaml").write_text(yaml.safe_dump(tree, sort_keys=False), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        read_yaml.cache_clear()
        render.main("birdworld", Path("archives"), Path("sources.json"))
        preprocess.main("birdworld", Path("sources.json"), Path("images"))
        read_yaml.cache_clear()
    captions = [text for row in ImageFolder(root / "images", "train").rows for text in row["captions"]]
    return Birds(root / "images", Vocabulary([word for word, _ in count_words(captions, 1)]))


@pytest.fixture(scope="module")
def matched(birds: Birds) -> damsm.Encoders:
    """DAMSM after 120 steps on 32 pairs."""
    pairs, encoders = birds.pairs(32), damsm.Encoders.fresh(birds.words, DAMSM, GEOMETRY, 1)
    optimizer = torch.optim.Adam(encoders.parameters(), lr=DAMSM.lr, betas=(0.5, 0.999))
    encoders.train()
    for step in range(120):
        damsm.train_step(encoders, optimizer, pairs, step)
    encoders.train(False)
    return encoders


def test_damsm_matches_every_pair(birds: Birds, matched: damsm.Encoders) -> None:
    """Each of 32 images is nearest to its own caption and each caption to its own image, by sentences and by words."""
    pairs = birds.pairs(32)
    tokens, lengths = birds.words.encode(pairs.captions, DAMSM.words)
    with torch.no_grad():
        regions, whole = matched.image(pairs.images[-1])
        words, sentences = matched.text(tokens, lengths)
        by_words = word_scores(regions, words, mask_of(lengths, DAMSM.words), DAMSM.gamma1, DAMSM.gamma2)
        by_sentences = sentence_scores(whole, sentences)
    for name, scores in (("words", by_words), ("sentences", by_sentences)):
        print(name, (scores.argmax(0) == torch.arange(32)).float().mean(), (scores.argmax(1) == torch.arange(32)).float().mean())
        assert torch.equal(scores.argmax(dim=1), torch.arange(32)), name
        assert torch.equal(scores.argmax(dim=0), torch.arange(32)), name


def test_the_gan_reproduces_eight_pairs(birds: Birds, matched: damsm.Encoders) -> None:
    pairs = birds.pairs(8)
    torch.manual_seed(0)
    with torch.no_grad():
        v = FeatureNetwork(features_block(width=8, channels=32), GEOMETRY)(pairs.images[-1])
    for network in (matched.text, matched.image):
        network.requires_grad_(False)
    small = gan_block(ngf=12, ndf=16, acm_width=12, z=16, condition=16)
    recipe = Recipe(small, train_block(batch=8, ema=0.98, lr_g=1e-3, lr_d=1e-3), GEOMETRY, DAMSM, "avg", 0)
    reader = TextReader(birds.words, matched.text, DAMSM.words)
    engine = Engine(recipe, reader, matched.image, v.shape[1])
    real = pairs.images[-1]
    import time
    t=time.process_time()
    for step in range(900):
        terms = engine.step(pairs, v, step)
        if step % 50 == 49:
            made = draw(engine.average.eval(), reader, pairs.captions, list(range(8)), v)[-1]
            d = (made[:, None] - real[None]).abs().mean(dim=(2, 3, 4)) / 2
            base = (real - real.mean(0)).abs().mean() / 2
            print(step, round(time.process_time()-t,1), (d.argmin(1) == torch.arange(8)).sum().item(), d.diagonal().mean().item(), d.diagonal().max().item(), base.item(), {k: round(x, 2) for k, x in terms.items()}, flush=True)


def test_the_evaluator_reads_the_attributes() -> None:
    import time
    t=time.process_time()
    params = Evaluator(width=12, features=64, images=2000, epochs=5, batch=50, lr=0.004)
    world = World(**WORLD)
    source = Renderings(world, GEOMETRY, params.images, params.batch, 1)
    print('rendered', time.process_time()-t)
    fit.reseed(0, "evaluator")
    network = evaluator.Evaluator(params.width, params.features, GEOMETRY.size, source.heads)
    evaluator.train(network, source, params, 0)
    right = evaluator.accuracy(network, *Renderings(world, GEOMETRY, 400, 400, 2).batch_at(0))
    print(time.process_time()-t, right)


def test_v_tells_what_a_bird_looks_like(birds: Birds) -> None:
    import time
    t=time.process_time()
    params = features_block(channels=48, width=12, epochs=8, batch=30, lr=0.004)
    fit.reseed(0, "vgg")
    network = FeatureNetwork(params, GEOMETRY)
    plain = FeatureNetwork(params, GEOMETRY)
    batches = TrainingBatches(birds.folder, GEOMETRY, 1, params.batch, 0)
    loss = vgg.train_small(network, batches, birds.words, params)
    bags = vgg.bags(batches.source.rows, birds.words)
    share = bags.mean(dim=0)
    h0 = F.binary_cross_entropy(share.expand_as(bags), bags, reduction="sum") / len(bags)
    print(time.process_time()-t, loss, h0)
    for net in (network, plain):
        print({name: read_out(net, birds, name) for name in birdworld.ATTRIBUTES})
    print(time.process_time()-t)


@torch.no_grad()
def read_out(network: FeatureNetwork, birds: Birds, attribute: str) -> float:
    """Share of test birds whose attribute a linear map of v, fitted to the training birds, tells."""
    parts = []
    for split in ("train", "test"):
        folder, images = birds.split(split)
        v = network(images).flatten(1)
        values = birdworld.ATTRIBUTES[attribute]
        parts.append((v, torch.tensor([values.index(row["attributes"][attribute]) for row in folder.rows])))
    (v, target), (unseen, truth) = parts
    mean, std = v.mean(0), v.std(0) + 1e-6
    x, y = ((v - mean) / std, (unseen - mean) / std)
    gram = x @ x.T + 300 * torch.eye(len(x))
    onehot = F.one_hot(target, len(birdworld.ATTRIBUTES[attribute])).float()
    answer = y @ x.T @ torch.linalg.solve(gram, onehot - onehot.mean(0)) + onehot.mean(0)
    return float((answer.argmax(1) == truth).float().mean())
