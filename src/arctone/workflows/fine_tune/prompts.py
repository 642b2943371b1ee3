"""Prompts that have nothing to do with a user's own sounds, to see whether a model still makes everything else."""

GENERAL_PROMPTS = (
    "rain on a tin roof",
    "a funky drum loop, 110 BPM",
    "a solo flute melody in D minor",
    "a dog barking",
    "a warm analog pad in a huge church",
    "a church organ playing chords",
    "an 8-bit laser shot",
    "wind howling through trees",
    "a slap bass riff, dry",
    "a sad solo cello, slow",
    "thunder, far away",
    "a techno drum loop, 130 BPM",
)
SECONDS = 4.0
