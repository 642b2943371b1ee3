"""The networks: transformers, autoencoders, text encoders, discriminators, adapters."""
