"""Memory that the C library keeps for the next step instead of handing it back to the system."""

import ctypes

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # options of glibc's mallopt (malloc.h)


def keep_pages() -> None:
    """For processes that take and free the same large tensors over and over: freed memory stays the process's.

    glibc gives each large block pages of its own, which the system fills with zeros when they are first touched, and hands them
    back when the block is freed: at 256 px a tenth of a training step. Where there is no glibc, nothing changes; nor do results.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        mallopt(MMAP_MAX, 0)
        mallopt(TRIM_THRESHOLD, -1)
