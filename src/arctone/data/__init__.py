"""Training data: clips with captions, from a generated corpus or from files, as sound or as stored latents."""
