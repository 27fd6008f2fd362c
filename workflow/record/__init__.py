"""Snakemake makes, DVC remembers: how the two stay agreed on what is up to date, whoever ran last.

Snakemake judges by file times and by notes in .snakemake; neither survives `git clone`, `dvc pull` or `dvc exp apply`. So dvc.lock
is the record. Before Snakemake looks at an output, the record is asked (`ask`, as the Snakefile is opened; the answer comes while
the rules are read) and heeded (`heed`, when they have been):

- it vouches for the output and for its inputs: the output counts as up to date, whatever the times say;
- it vouches for the output, but an input has changed: the output is made again;
- it does not know the output: if this Snakemake made it, Snakemake judges; otherwise it is made again.

When the jobs start (`start`), other runs of either engine are kept out. When they are done (`after`), what they made is entered,
and after a long run the record is asked at once, so that the next Snakemake has its answer.

`engine` is the only file that touches Snakemake's insides, `books` and `bulk` are the only ones that touch DVC's. `look` is the
asking, `sync` the heeding, `enter` the entering, for which `watch` sees what params.yaml says meanwhile; `stages` says how a rule
looks as a stage of DVC, and `pipelines` how all of them make dvc.yaml.
"""

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from workflow.record import books, engine, look, watch
from workflow.record.enter import Run, enter
from workflow.record.sync import sync

_turn = ExitStack()
_answer: Callable[[], books.Stages | None] | None = None
_run: Run | None = None
_owed: set[str] = set()


def ask(workflow: Any) -> None:
    """As the Snakefile is opened: waits for its turn and asks the record, unless another run is at work."""
    global _answer
    engine.spare_pandas()
    if not engine.is_main(workflow):
        return
    _turn.enter_context(engine.turn())
    if other := engine.other_run():
        books.say(f"{other} is at work here; wait for it")
        return
    engine.clear_locks()
    if books.are_closed() or not books.are_kept():
        return
    if other := books.at_work():
        books.say(f"{other} is at work here; wait for it, or take what follows as Snakemake's view without the record")
        return
    _answer = look.start()


def heed(workflow: Any) -> None:
    """When the rules have been read: brings what Snakemake knows in line with what the record says."""
    global _owed
    if _answer:
        _owed = sync(_answer() or {})
    _turn.close()
    if _owed:
        atexit.register(lambda: engine.found_nothing_to_do(workflow) and enter(Run(workflow), _owed))


def start(workflow: Any) -> None:
    """As the first job is about to start: refuses a second run, keeps DVC out, notes what the jobs will read."""
    global _run
    engine.spare_rounds(workflow)
    if books.are_closed():
        return
    engine.claim()
    if books.are_kept():
        books.claim()
        if not workflow.touch:  # which says of files that they are made, and makes none
            watch.begin()
            _run = Run(workflow)


def after() -> None:
    """When the jobs are done, well or not: enters what was made. After a long run also asks for the next one."""
    books.release()
    if _run:
        enter(_run, _owed)
        if _run.lasted() > look.WORTH:
            look.ahead()
