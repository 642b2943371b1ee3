"""Words of the captions: several for each value. HELD_OUT_SYNONYMS occur only in captions of the test split."""

from __future__ import annotations

from arctone.data.corpus.music import tempo_word

STYLE_WORDS: dict[str, tuple[str, ...]] = {
    "note": ("note", "single note", "sustained note", "tone"),
    "staccato": ("short note", "staccato note", "short stab", "one-shot"),
    "melody": ("melody", "tune", "melodic line", "melodic phrase"),
    "riff": ("riff", "hook", "lick", "repeating riff"),
    "arpeggio": ("arpeggio", "arpeggios", "broken chords", "arpeggiated pattern"),
    "chords": ("chords", "chord progression", "chord sequence", "harmonies"),
    "trill": ("trill", "quick trill", "fluttering trill", "shake between two notes"),
    "tremolo": ("tremolo", "fast repeated notes", "rapidly repeated note", "tremolando"),
    "drone": ("drone", "held tone", "long sustained drone", "endless tone"),
    "scale": ("scale", "scale run", "scale exercise", "stepwise run"),
    "ostinato": ("ostinato", "repeating pattern", "repeating figure", "looping motif"),
}
MOOD_WORDS: dict[tuple[str, str], tuple[str, ...]] = {
    ("minor", "slow"): ("sad", "dark", "melancholic", "gloomy", "sorrowful"),
    ("minor", "medium tempo"): ("moody", "mysterious", "serious", "brooding", "wistful"),
    ("minor", "fast"): ("tense", "dramatic", "urgent", "restless", "agitated"),
    ("major", "slow"): ("calm", "peaceful", "warm", "gentle", "serene"),
    ("major", "medium tempo"): ("pleasant", "relaxed", "friendly", "easy-going", "breezy"),
    ("major", "fast"): ("happy", "upbeat", "cheerful", "energetic", "jolly"),
}
TEMPO_WORDS: dict[str, tuple[str, ...]] = {
    "slow": ("slow", "slow tempo", "unhurried"),
    "medium tempo": ("medium tempo", "mid-tempo", "moderate tempo"),
    "fast": ("fast", "fast tempo", "quick tempo", "brisk"),
}
PACE_WORDS: dict[str, tuple[str, ...]] = {
    "slow": ("slow", "slow-paced"),
    "medium tempo": ("mid-tempo", "moderate"),
    "fast": ("fast", "quick", "rapid"),
}
ROOM_TAGS: dict[str, tuple[str, ...]] = {
    "dry": ("dry", "no reverb", "close and dry"),
    "small room": ("small room", "room sound", "short reverb"),
    "plate": ("plate reverb", "bright reverb", "studio reverb"),
    "concert hall": ("concert hall", "hall reverb", "large hall"),
    "cathedral": ("cathedral", "church reverb", "very long reverb", "cavernous reverb"),
}
ROOM_PHRASES: dict[str, tuple[str, ...]] = {
    "dry": ("without reverb", "recorded dry"),
    "small room": ("in a small room", "in a room", "in a little chamber"),
    "plate": ("with plate reverb", "with studio reverb"),
    "concert hall": ("in a concert hall", "in a large hall", "in an auditorium"),
    "cathedral": ("in a cathedral", "in a huge church", "with a very long reverb"),
}
DYNAMICS_WORDS: dict[str, tuple[str, ...]] = {
    "soft": ("soft", "quiet", "gentle", "hushed"),
    "medium": ("moderate", "medium loud"),
    "loud": ("loud", "powerful", "strong", "forceful"),
}
REGISTER_WORDS: dict[str, tuple[str, ...]] = {
    "low": ("low", "deep", "low-pitched"),
    "middle": ("mid-range", "middle register"),
    "high": ("high", "high-pitched", "bright high"),
}
GENRE_WORDS: dict[str, tuple[str, ...]] = {
    "rock": ("rock", "straight rock"),
    "funk": ("funk", "funky", "syncopated funk"),
    "hip hop": ("hip hop", "hip-hop", "boom bap"),
    "house": ("house", "four-on-the-floor house", "deep house"),
    "techno": ("techno", "driving techno", "minimal techno"),
    "disco": ("disco", "seventies disco"),
    "jazz swing": ("jazz swing", "swinging jazz", "swing"),
    "bossa nova": ("bossa nova", "Brazilian bossa"),
    "drum and bass": ("drum and bass", "drum'n'bass", "jungle"),
    "breakbeat": ("breakbeat", "broken beat"),
    "trap": ("trap", "southern trap"),
    "reggae": ("reggae", "one drop reggae"),
    "latin": ("latin", "Latin American", "Afro-Cuban"),
    "march": ("march", "military march", "marching band"),
    "shuffle": ("shuffle", "blues shuffle"),
    "ballad": ("ballad", "power ballad"),
    "metal": ("metal", "heavy metal", "thrash"),
    "reggaeton": ("reggaeton", "dembow"),
    "afrobeat": ("afrobeat", "West African afrobeat"),
    "lo-fi": ("lo-fi", "lo-fi hip hop", "chilled lo-fi"),
}
BEAT_WORDS = ("drum loop", "beat", "drum beat", "groove", "drum pattern", "drum groove")
LOOP_WORDS = ("loop", "track", "music loop", "groove", "instrumental loop", "backing track")
FILL_WORDS = ("with a fill at the end", "ending with a drum fill", "with a drum fill")

HELD_OUT_SYNONYMS = frozenset(
    {
        "tone",
        "one-shot",
        "melodic phrase",
        "repeating riff",
        "arpeggiated pattern",
        "harmonies",
        "shake between two notes",
        "tremolando",
        "endless tone",
        "stepwise run",
        "looping motif",
        "sorrowful",
        "wistful",
        "agitated",
        "serene",
        "breezy",
        "jolly",
        "unhurried",
        "moderate tempo",
        "brisk",
        "slow-paced",
        "rapid",
        "close and dry",
        "short reverb",
        "studio reverb",
        "with studio reverb",
        "large hall",
        "cavernous reverb",
        "in a little chamber",
        "in an auditorium",
        "hushed",
        "forceful",
        "low-pitched",
        "bright high",
        "syncopated funk",
        "boom bap",
        "minimal techno",
        "jungle",
        "dembow",
        "thrash",
        "drum groove",
        "backing track",
        "with a drum fill",
        "concert piano",
        "saloon piano",
        "vibes",
        "squeezebox",
        "folk guitar",
        "flageolet guitar",
        "fingerstyle bass",
        "violoncello",
        "ahh choir",
        "trombone solo",
        "bari sax",
        "cor anglais",
        "panpipes",
        "mbira",
        "uke",
        "angelic pad",
        "film score pad",
        "steelpan",
        "thumb piano",
        "Juno-style pad",
        "Game Boy style lead",
        "live drums",
        "808 kit",
        "909-style kit",
        "drums with brushes",
        "Game Boy drums",
        "a downpour",
        "the surf",
        "a babbling brook",
        "raindrops on a tin roof",
        "night insects",
        "burning wood",
        "a chiptune coin collect sound",
        "a retro laser blast",
        "a video game jump",
        "an uplifter",
        "an air swish",
        "a trailer hit",
        "a deep cinematic boom",
        "a warning alarm",
        "canine woof",
        "a dog bark",
        "a cock-a-doodle-doo",
        "somebody sneezing",
        "helicopter rotors",
        "a revving chainsaw",
        "falling rain",
        "birdsong",
        "café ambience",
    }
)


def tempo_options(bpm: int) -> tuple[str, ...]:
    """Ways to write a tempo after a comma; about half hold the number."""
    words = TEMPO_WORDS[tempo_word(bpm)]
    numbers = (f"{bpm} BPM", f"{bpm} BPM", f"{bpm} bpm")
    return (*numbers, *words)


def allowed(options: tuple[str, ...], unseen: bool) -> tuple[str, ...]:
    """The options for training captions, or those held out (all options where none is) for `unseen` captions."""
    held_out = tuple(option for option in options if option in HELD_OUT_SYNONYMS)
    if unseen:
        return held_out or options
    return tuple(option for option in options if option not in HELD_OUT_SYNONYMS) or options
