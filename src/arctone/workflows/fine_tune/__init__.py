"""A model tuned to one's own sounds by one command: captions, latents, training, and a page that shows what changed."""
