"""The forty species of birdworld: fixed combinations of attributes under invented names."""

from functools import cache

import numpy as np

from memgan.data.worlds.bird_captions import ATTRIBUTES
from memgan.data.worlds.drawing import COLOURS

NAMES = (
    "Amber_Tumblewick", "Ashen_Merrywing", "Bramble_Whistler", "Brindled_Popinjay", "Candle_Warbler", "Chortling_Fenwick",
    "Clover_Dabbler", "Copper_Quillet", "Dandy_Thistlebeak", "Dapper_Lanternbird", "Drowsy_Marshpiper", "Ember_Skimmer",
    "Fiddler_Finch", "Foxglove_Trotter", "Gossamer_Wren", "Harlequin_Stilt", "Hazel_Bobbin", "Jolly_Puddlehen",
    "Juniper_Twirler", "Lazuli_Tinker", "Lesser_Giggletail", "Marmalade_Pipit", "Marzipan_Dove", "Moonlit_Hoverer",
    "Nettle_Chatterer", "Opal_Wagwing", "Paper_Lantern_Grebe", "Peppered_Hobnob", "Quince_Ambler", "Regal_Doodlebird",
    "Rosehip_Flitter", "Saffron_Curtsier", "Sleepy_Tassel", "Sugarplum_Rail", "Tapestry_Thrush", "Tipsy_Sandpacer",
    "Velvet_Bellbird", "Whistling_Teapot", "Willow_Gadabout", "Zephyr_Paddler",
)  # fmt: skip
FIXED = tuple(attribute for attribute in ATTRIBUTES if attribute != "background")
TEST = tuple(range(3, len(NAMES), 4))  # every fourth species is seen in testing alone
TRAIN = tuple(i for i in range(len(NAMES)) if i not in TEST)
COLOURED = tuple(i for i, attribute in enumerate(FIXED) if len(ATTRIBUTES[attribute]) == len(COLOURS))  # the large parts
DISTANCE = 6  # attributes, of ten, in which any two species differ at least
COLOUR_DISTANCE = {"test": 4, "train": 3}  # the same among the five main colours: between two test species, and otherwise


@cache
def species() -> tuple[dict[str, str], ...]:
    """The attributes of each species, in the order of NAMES.

    Each new species is the one of 1500 candidates whose values have been used least, among those that differ enough from all
    earlier ones; crown, breast and wing stand out from the body, and half of the tails continue it, so that a main colour is plain.
    """
    rng = np.random.default_rng(40)
    test = _drawn(rng, len(TEST), COLOUR_DISTANCE["test"], np.empty((0, len(FIXED)), dtype=int))
    train = _drawn(rng, len(TRAIN), COLOUR_DISTANCE["train"], test)
    rows = dict(zip((*TEST, *TRAIN), np.concatenate([test, train]), strict=True))
    return tuple(
        {attribute: ATTRIBUTES[attribute][v] for attribute, v in zip(FIXED, rows[i], strict=True)} for i in range(len(NAMES))
    )


def _drawn(rng: np.random.Generator, count: int, colour_distance: int, others: np.ndarray) -> np.ndarray:
    used = [np.zeros(len(ATTRIBUTES[attribute])) for attribute in FIXED]
    chosen = np.empty((0, len(FIXED)), dtype=int)
    while len(chosen) < count:
        pool = _candidates(rng, 1500)
        differs = pool[:, None] != np.concatenate([others, chosen])[None]  # [candidates, earlier species, attributes]
        enough = (differs.sum(axis=2) >= DISTANCE) & (differs[:, :, COLOURED].sum(axis=2) >= colour_distance)
        pool = pool[enough.all(axis=1)]
        if not len(pool):
            continue
        cost = sum(counts[pool[:, i]] * len(counts) for i, counts in enumerate(used))
        best = pool[int(np.argmin(cost))]
        for counts, value in zip(used, best, strict=True):
            counts[value] += 1
        chosen = np.concatenate([chosen, best[None]])
    return chosen


def _candidates(rng: np.random.Generator, count: int) -> np.ndarray:
    pool = np.stack([rng.integers(len(ATTRIBUTES[attribute]), size=count) for attribute in FIXED], axis=1)
    column = {attribute: pool[:, i] for i, attribute in enumerate(FIXED)}
    primary = column["primary_color"]
    column["tail_color"][:] = np.where(rng.uniform(size=count) < 0.5, primary, column["tail_color"])
    return pool[(column["crown_color"] != primary) & (column["breast_color"] != primary) & (column["wing_color"] != primary)]
