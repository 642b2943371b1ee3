"""arctone: text to audio in the blink of an eye, and the whole road to train it."""

__version__ = "0.1.0"
