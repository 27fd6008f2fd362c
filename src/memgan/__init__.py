"""Memory-driven text-to-image generation, from raw data to the paper's Table 1."""
