"""A model on disk: its config, its hashes, its tokenizer and the names of its graphs. Never torch."""
