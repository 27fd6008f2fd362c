"""The watch over a training: log, curves, sheets of samples, progress; and an end in good order."""

import math
import sys
import time
from collections.abc import Iterator, Mapping
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from memgan.artifacts import seed_of
from memgan.data.loader import Batch, TrainingBatches, to_uint8
from memgan.gan.engine import Engine
from memgan.gan.generator import Inputs
from memgan.gan.live import Clock, Curves, memory
from memgan.gan.neighbours import Neighbours
from memgan.state import TrainingState
from memgan.steps import log

POINTS = 400  # of each curve
SAID = 20  # lines in the log, and sheets
GRID = 4  # samples of a sheet, down and across


class Showcase:
    """The averaged generator's images for a fixed grid of training captions, with fixed noise and their own images' v."""

    def __init__(self, engine: Engine, chosen: Neighbours):
        self.engine = engine
        count, rows = GRID * GRID, chosen.folder.rows
        self.rows = np.array([k * len(rows) // count for k in range(count)])
        self.captions = [rows[row]["captions"][0] for row in self.rows]
        self.store = chosen.store

    @torch.no_grad()
    def sheet(self) -> np.ndarray:
        """uint8 [4 p, 4 p, 3]."""
        gan, count = self.engine.recipe.gan, len(self.rows)
        rng = torch.Generator().manual_seed(seed_of(self.engine.recipe.seed, "showcase"))
        noise, jitter = torch.randn(count, gan.z, generator=rng), torch.randn(count, gan.condition, generator=rng)
        texts = self.engine.reader(self.captions)
        here = (drawn.to(self.engine.device) for drawn in (noise, jitter, self.store.v(self.rows)))
        images = to_uint8(self.engine.average(Inputs(texts.sentence, texts.mean, *here)).images[-1])
        side = images.shape[1]
        grid = images.reshape(GRID, GRID, side, side, 3).transpose(0, 2, 1, 3, 4)  # down, y, across, x, colour
        return np.ascontiguousarray(grid.reshape(GRID * side, GRID * side, 3))


class Watch:
    """What a training tells of itself. Only the process that writes speaks."""

    def __init__(self, engine: Engine, state: TrainingState, curves: Curves, showcase: Showcase, clock: Clock):
        self.engine, self.state, self.curves, self.showcase, self.clock = engine, state, curves, showcase, clock
        self.every, self.often = max(1, clock.last // POINTS), max(1, clock.last // SAID)

    def over(self, batches: TrainingBatches, chosen: Neighbours) -> Iterator[tuple[int, Batch, Tensor]]:
        """(step, batch, v) of each step that is left, with a bar on a terminal; counts the time spent waiting for them."""
        hidden = not (self.state.writes and sys.stderr.isatty())
        stream = batches.stream(self.clock.first, self.clock.last)
        part = self.engine.processes.part(self.engine.recipe.train.images)
        with logging_redirect_tqdm([log]), tqdm(total=self.clock.last, initial=self.clock.first, disable=hidden) as self.bar:
            for step in range(self.clock.first, self.clock.last):
                asked = time.monotonic()
                batch = next(stream)
                feature = chosen.features(batch, part)
                self.clock.wait(time.monotonic() - asked)
                yield step, batch, feature
                self.bar.update()

    def tell(self, step: int, terms: Mapping[str, float]) -> None:
        """Whatever of log, curves and progress is due after a step."""
        if not self.state.writes:
            return
        done, said = step + 1, " ".join(f"{name} {value:.3f}" for name, value in terms.items())
        in_log = done % self.often == 0 or done == self.clock.last
        if in_log:
            pace = self.clock.pace(done)
            log.info("step %d of %d, %.3g images/s, %s: %s", done, self.clock.last, pace, held(), said)
        if step % self.every == 0 or in_log:
            self.curves.point(step, self._points(done, terms), self._sheet() if in_log else None)
        if self.clock.due():
            self.bar.set_postfix_str(said, refresh=False)
            self.state.tell(self.clock.progress(done, terms, "training"))

    def _sheet(self) -> np.ndarray | None:
        return None if self.curves.live is None else self.showcase.sheet()

    def _points(self, done: int, terms: Mapping[str, float]) -> dict[str, float]:
        losses = {f"r1/{name[3:]}" if name.startswith("r1_") else f"loss/{name}": value for name, value in terms.items()}
        norms = {f"gradient/{name}": value for name, value in self.engine.norms.items() if math.isfinite(value)}
        speed = {"images_per_s": self.clock.pace(done), **memory()}
        return losses | norms | {f"speed/{name}": value for name, value in speed.items()}

    def leave(self, done: int, terms: Mapping[str, float], why: str) -> NoReturn:
        """Ends the program after a signal: the state of this step is saved."""
        self.state.tell(self.clock.progress(done, terms, "stopped"))
        log.info("stopped by %s after step %d of %d: its state is saved; the same command goes on", why, done, self.clock.last)
        sys.exit(0)

    def finish(self, terms: Mapping[str, float]) -> None:
        """What is said at the end."""
        clock = self.clock
        self.state.tell(clock.progress(clock.last, terms, "finished"))
        if clock.last > clock.first:
            log.info("trained %d steps in %.0f s, %.3g images/s", clock.last - clock.first, clock.seconds, clock.pace(clock.last))
            log.info("waited for data %.1f s, %.1f %% of the time; memory %s", clock.waited, 100 * clock.idle, held())


def held() -> str:
    """Largest memory so far, in words: `2.31 GB`, or `2.31 GB and 5.20 GB of the GPU`."""
    return " and ".join(f"{gb:.2f} GB{' of the GPU' * name.startswith('gpu')}" for name, gb in memory().items())
