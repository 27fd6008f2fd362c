"""The shape in which every metric is reported."""

from typing import Any

DIGITS = 6  # of a value in JSON: far below any standard error, above the noise of the last bits


def score(value: float, n: int, extractor: str, std: float | None = None, **more: Any) -> dict[str, Any]:
    """One figure: its value, its spread, over how many images or pairs, and whose features judged it.

    `std` is None where the metric has none. `more` says what else the protocol fixed: n_real, negatives, chance in the same unit.
    """
    rounded = {key: round(item, DIGITS) if isinstance(item, float) else item for key, item in more.items()}
    spread = None if std is None else round(float(std), DIGITS)
    return {"value": round(float(value), DIGITS), "std": spread, "n": int(n), "extractor": extractor, **rounded}
