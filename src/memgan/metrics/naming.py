"""Which object categories a caption names, for SOA (SPEC 12; Hinz et al. 2020 pick captions by such words).

On a world its ideal reader tells. Elsewhere the caption's words are matched with phrases, the longest first, each word once: a
"hot dog" names no dog, a "teddy bear" no bear, and a phrase of NEUTRAL names nothing.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from memgan.data.worlds.grammar import ABSENT, words_of
from memgan.data.worlds.readers import READERS

# COCO's categories as people call them, besides their own names and plurals; of our own making [ours]
SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": (
        "people", "man", "men", "woman", "women", "boy", "girl", "child", "children", "kid", "baby", "babies", "toddler",
        "guy", "lady", "ladies", "gentleman", "player", "skier", "snowboarder", "surfer", "skateboarder", "cyclist", "biker",
        "motorcyclist", "rider", "batter", "pitcher", "catcher", "umpire", "officer", "worker", "chef", "crowd", "couple",
    ),
    "bicycle": ("bike",),
    "motorcycle": ("motorbike", "motor bike", "motor cycle"),
    "airplane": ("plane", "aeroplane", "air plane", "jet", "airliner", "jetliner", "biplane"),
    "car": ("sedan", "taxi", "suv"),
    "truck": ("pickup", "fire engine", "lorry", "lorries"),
    "boat": ("sailboat", "canoe", "kayak", "ship", "ferry", "ferries", "yacht", "rowboat"),
    "traffic light": ("stop light", "stoplight", "traffic signal"),
    "fire hydrant": ("hydrant",),
    "cat": ("kitten", "kitty"),
    "dog": ("puppy", "puppies"),
    "horse": ("pony", "ponies"),
    "sheep": ("lamb",),
    "cow": ("cattle", "bull", "calf", "calves"),
    "backpack": ("back pack",),
    "handbag": ("purse", "hand bag"),
    "tie": ("necktie", "bow tie", "bowtie"),
    "suitcase": ("luggage",),
    "frisbee": ("flying disc", "flying disk"),
    "skis": ("pair of skis",),
    "snowboard": ("snow board",),
    "sports ball": ("ball", "soccer ball", "tennis ball"),
    "baseball bat": ("bat",),
    "baseball glove": ("baseball mitt", "catcher s mitt", "mitt"),
    "skateboard": ("skate board",),
    "surfboard": ("surf board",),
    "tennis racket": ("racket", "racquet", "tennis racquet"),
    "wine glass": ("wineglass", "glass of wine", "glasses of wine", "glass of red wine", "glass of white wine"),
    "cup": ("mug", "coffee cup"),
    "knife": ("knives",),
    "sandwich": ("sub sandwich",),
    "cake": ("carrot cake", "cheese cake", "cheesecake"),
    "orange": ("orange slice", "sliced orange", "peeled orange"),
    "broccoli": ("broccoli floret",),
    "donut": ("doughnut",),
    "couch": ("sofa", "loveseat"),
    "toilet": ("toilet bowl",),
    "potted plant": ("house plant", "houseplant", "plant in a pot"),
    "dining table": ("table", "kitchen table", "dinner table"),
    "tv": ("television", "tv screen", "tv set"),
    "laptop": ("laptop computer",),
    "mouse": ("mice", "computer mouse"),
    "remote": ("remote control", "wii remote"),
    "keyboard": ("computer keyboard",),
    "cell phone": ("cellphone", "mobile phone", "smartphone", "smart phone", "iphone", "phone"),
    "microwave": ("microwave oven",),
    "oven": ("stove", "stove top oven"),
    "toaster": ("toaster oven",),
    "refrigerator": ("fridge", "refridgerator"),
    "scissors": ("pair of scissors",),
    "teddy bear": ("stuffed bear", "stuffed animal bear"),
    "hair drier": ("hair dryer", "hairdryer", "blow dryer"),
    "toothbrush": ("tooth brush",),
}  # fmt: skip
ANIMALS = {"bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe"}  # whose babies are no people
PLAIN = {"orange"}  # a colour far more often: its own name counts in the plural alone
# phrases in which a category's word means something else
NEUTRAL = (
    "bus stop", "bus station", "train station", "train track", "train platform", "car seat", "boat house", "bird house",
    "bear hug", "dog house", "dog bed", "dog bowl", "dog food", "cat food", "horse shoe", "flower bed", "truck bed", "bed of",
    "mickey mouse", "ping pong table", "table cloth", "table tennis", "book shelf", "book case", "cup cake", "cake pan",
    "pizza box", "pizza cutter", "oven mitt", "phone booth", "tie dye", "tie dyed", "ball game", "ball park", "ball cap",
    "couple of", "crowd of", "jet ski", "record player", "cd player", "dvd player", "music player", "media player",
    "pancake batter", "cake batter", "coffee table", "pool table", "side table", "end table", "night table", "train car",
    "cable car", "remote area", "remote location", "mouse pad", "tv stand", "toilet paper", "fork lift", "kite surfing",
    "kite boarding", "apple computer", "apple logo", "apple store", "book bag",
)  # fmt: skip
Phrases = dict[tuple[str, ...], str | None]


def named_categories(captions: Sequence[str], categories: Sequence[str], world: str | None) -> np.ndarray:
    """Which of the categories each caption names: bool [n, C]. `world` is the world that the captions describe, if they do."""
    place = {name: c for c, name in enumerate(categories)}
    phrases = {} if world else phrases_of(categories)
    found = np.zeros((len(captions), len(categories)), dtype=bool)
    for i, caption in enumerate(captions):
        names = _told(READERS[world].read_caption(caption)) if world else matched(caption, phrases)
        found[i, [place[name] for name in names if name in place]] = True
    return found


def _told(claims: Mapping[str, frozenset[str]]) -> list[str]:
    """What the reader is sure is there."""
    return [name for name, values in claims.items() if not values & ABSENT]


def phrases_of(categories: Sequence[str]) -> Phrases:
    """Phrase in words -> the category it names, None where it names none."""
    phrases: Phrases = {}
    for phrase in NEUTRAL:
        *before, last = words_of(phrase)
        phrases |= {(*before, form): None for form in (last, plural(last))}
    for category in categories:
        for phrase in (category, *SYNONYMS.get(category, ())):
            *before, last = words_of(phrase)
            forms = {plural(last)} if phrase in PLAIN else {last, plural(last)}
            phrases |= {(*before, form): category for form in forms}
            if category in ANIMALS:
                phrases |= {("baby", *before, form): category for form in forms}
    return phrases


def plural(noun: str) -> str:
    """A regular noun in the plural."""
    if noun.endswith(("s", "x", "ch", "sh")):
        return f"{noun}es"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}s"


def matched(caption: str, phrases: Phrases) -> set[str]:
    """The categories of the phrases in the caption; from left to right the longest that fits takes its words."""
    words, found, at = tuple(words_of(caption)), set(), 0
    longest = max(map(len, phrases), default=1)
    while at < len(words):
        size = next((n for n in range(longest, 0, -1) if words[at : at + n] in phrases and at + n <= len(words)), 0)
        if size and (name := phrases[words[at : at + size]]):
            found.add(name)
        at += size or 1
    return found
