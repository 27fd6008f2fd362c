"""Memory-driven text-to-image generation, from raw data to the paper's Table 1."""

__version__ = "0.1.0"
