"""What a job claims of this machine, so that `--cores 8` on a laptop with two cores does not thrash.

Jobs that keep a core busy claim their share in per cent; the profile grants 100 in all. On a cluster, which has other nodes than
this one, its profile grants more.
"""

import os
from pathlib import Path

GPUS = len(list(Path("/proc/driver/nvidia/gpus").glob("*")) or list(Path("/dev").glob("nvidia[0-9]*")))


def cores() -> int:
    """Of this machine."""
    return os.cpu_count() or 1


def percent(threads: int) -> int:
    """Share of this machine's cores that a job of so many threads keeps busy."""
    return max(1, min(100, 100 * threads // cores()))


def gpu(processes: int = 1) -> int:
    """GPUs of a job of so many processes on this machine, one each as far as they go; the profile grants as many as there are."""
    return min(processes, GPUS)
