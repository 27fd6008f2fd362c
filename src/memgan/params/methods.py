"""Other systems' samples that are scored under our protocol: `methods.<key>`, a key of letters, digits and `_`."""

from memgan.params.base import Block, entry, optional


class Method(Block):
    """One system on one data set."""

    name: str | None = optional("what the tables call it; its key under `methods` if left out")
    dataset: str = entry("name under `data` whose test captions the images were made from")
    images: str = entry("folder, tar, tgz or zip of the images, read in place; each of side `images.size`")
    captions: str = entry("CSV: `image` (its name in there) and `caption_id` (<image id>#<number from 0>) or `caption` (the text)")
    uses: str = optional("what it uses beyond captions and images, for the tables (boxes, CLIP)", "")
