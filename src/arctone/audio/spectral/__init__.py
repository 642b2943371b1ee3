"""From sound to spectra and back, numpy only."""
