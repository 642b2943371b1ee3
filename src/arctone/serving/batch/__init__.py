"""Many requests from one JSONL file: checked first, made here or on many machines, resumed where they stopped."""
