"""What the engine does with a resolved request: windows, sampling, decoding, joining; numpy only."""
