"""What `make ablations` compares: `ablations` (SPEC 13)."""

from memgan.params.base import Block, entry, optional
from memgan.params.load import Seeds


class Ablations(Block):
    """Every run of `runs` on one data set with several seeds, apart from Table 1."""

    dataset: str = entry("name under `data`; a short preset of a world [ours]")
    leave_out: tuple[str, ...] = optional("runs that are no ablations", ())
    seeds: Seeds = entry("one generator each, the same for every run, so that differences are paired")
