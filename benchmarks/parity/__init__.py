"""Comparisons with the public stable-audio-tools, on random weights; none of its code or weights is kept here."""
