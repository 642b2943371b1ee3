"""Published checkpoints of Stable Audio Open and 3, as published and back."""
