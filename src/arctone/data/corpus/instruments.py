"""The instruments of the corpus: name, other names, family, where it is in General MIDI, range and what it can play.

An instrument is played by presets: the same General MIDI program in each available soundfont, or our own synthesis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

FLUID = "FluidR3_GM"
MUSESCORE = "MuseScore_General"
SYNTH = "synth"

SUSTAINED_STYLES = ("note", "staccato", "melody", "riff", "arpeggio", "trill", "scale", "drone")
DECAYING_STYLES = ("note", "staccato", "melody", "riff", "arpeggio", "tremolo", "scale", "ostinato")
STYLES = ("note", "staccato", "melody", "riff", "arpeggio", "chords", "trill", "tremolo", "drone", "scale", "ostinato")

# name | other names | family | bank:program | lowest-highest MIDI note | s sustained, d decaying
# | p polyphonic, m one voice
_GENERAL_MIDI = """
grand piano|piano, acoustic piano, concert piano|piano|0:0|33-96|d|p
bright piano|bright grand piano, upright piano|piano|0:1|33-96|d|p
electric grand piano|electric grand|piano|0:2|33-96|d|p
honky-tonk piano|saloon piano, detuned piano|piano|0:3|36-90|d|p
electric piano|Rhodes piano, tine electric piano|piano|0:4|33-90|d|p
FM electric piano|DX electric piano, digital electric piano|piano|0:5|33-90|d|p
harpsichord|baroque harpsichord|piano|0:6|36-84|d|p
clavinet|funky clavinet, clav|piano|0:7|36-84|d|p
celesta|celeste|chromatic percussion|0:8|60-96|d|p
glockenspiel|bells, glock|chromatic percussion|0:9|72-96|d|p
music box|wind-up music box, toy music box|chromatic percussion|0:10|60-90|d|p
vibraphone|vibes|chromatic percussion|0:11|53-84|d|p
marimba|wooden marimba|chromatic percussion|0:12|48-84|d|p
xylophone|wooden xylophone|chromatic percussion|0:13|65-96|d|p
tubular bells|orchestral chimes, chimes|chromatic percussion|0:14|60-77|d|p
hammered dulcimer|dulcimer|chromatic percussion|0:15|55-84|d|p
drawbar organ|Hammond organ, tonewheel organ|organ|0:16|36-84|s|p
percussive organ|jazz organ|organ|0:17|36-84|s|p
rock organ|overdriven organ, rotary organ|organ|0:18|36-84|s|p
church organ|pipe organ, cathedral organ|organ|0:19|36-84|s|p
reed organ|harmonium|organ|0:20|41-84|s|p
accordion|squeezebox|organ|0:21|53-84|s|p
harmonica|blues harp, mouth organ|organ|0:22|60-84|s|m
bandoneon|tango accordion|organ|0:23|53-84|s|p
nylon guitar|classical guitar, Spanish guitar, nylon string guitar|guitar|0:24|40-79|d|p
steel guitar|acoustic guitar, steel string guitar, folk guitar|guitar|0:25|40-79|d|p
jazz guitar|hollow-body guitar, archtop guitar|guitar|0:26|40-79|d|p
clean electric guitar|clean guitar, electric guitar|guitar|0:27|40-79|d|p
muted guitar|palm-muted guitar, muted electric guitar|guitar|0:28|40-76|d|m
overdriven guitar|crunch guitar, overdrive guitar|guitar|0:29|40-79|s|m
distorted guitar|heavy guitar, distortion guitar, metal guitar|guitar|0:30|40-79|s|m
guitar harmonics|flageolet guitar|guitar|0:31|52-84|d|m
upright bass|double bass, acoustic bass, contrabass plucked|bass|0:32|28-55|d|m
electric bass|fingered bass, bass guitar, fingerstyle bass|bass|0:33|28-55|d|m
picked bass|pick bass, bass guitar with a pick|bass|0:34|28-55|d|m
fretless bass|fretless bass guitar|bass|0:35|28-57|d|m
slap bass|funk bass, slapped bass guitar|bass|0:36|28-55|d|m
pop bass|popped bass guitar|bass|0:37|28-55|d|m
synth bass|analog bass, resonant synth bass|bass|0:38|28-55|d|m
rubber synth bass|bouncy synth bass|bass|0:39|28-55|d|m
violin|solo violin|strings|0:40|55-96|s|m
viola|solo viola|strings|0:41|48-84|s|m
cello|violoncello, solo cello|strings|0:42|36-76|s|m
bowed double bass|contrabass, bowed bass|strings|0:43|28-60|s|m
tremolo strings|trembling strings, string tremolo section|strings|0:44|40-88|s|p
pizzicato strings|plucked strings, pizzicato section|strings|0:45|40-88|d|p
harp|concert harp, orchestral harp|ethnic|0:46|36-96|d|p
timpani|kettledrums, orchestral timpani|percussion|0:47|36-57|d|m
string ensemble|string section, orchestral strings|strings|0:48|36-88|s|p
slow strings|soft string section, lush strings|strings|0:49|36-88|s|p
synth strings|analog strings, string machine|strings|0:50|36-88|s|p
soft synth strings|mellow string machine|strings|0:51|36-88|s|p
choir|choir aahs, vocal ensemble, ahh choir|voice|0:52|43-79|s|p
voice oohs|soft choir, ooh choir|voice|0:53|43-79|s|p
synth voice|vocal synth, synth choir|voice|0:54|43-79|s|p
orchestra hit|orchestral stab, orchestral hit|brass|0:55|48-72|d|p
trumpet|solo trumpet|brass|0:56|55-84|s|m
trombone|solo trombone|brass|0:57|40-72|s|m
tuba|bass tuba|brass|0:58|28-58|s|m
muted trumpet|trumpet with mute, harmon mute trumpet|brass|0:59|55-82|s|m
french horn|horn, horns|brass|0:60|41-77|s|p
brass section|horn section, brass ensemble|brass|0:61|41-82|s|p
synth brass|analog brass, eighties synth brass|brass|0:62|40-84|s|p
soft synth brass|mellow synth brass|brass|0:63|40-84|s|p
soprano saxophone|soprano sax|reed|0:64|56-87|s|m
alto saxophone|alto sax, saxophone|reed|0:65|49-80|s|m
tenor saxophone|tenor sax|reed|0:66|44-75|s|m
baritone saxophone|baritone sax, bari sax|reed|0:67|37-68|s|m
oboe|solo oboe|reed|0:68|58-88|s|m
english horn|cor anglais|reed|0:69|52-80|s|m
bassoon|solo bassoon|reed|0:70|34-70|s|m
clarinet|solo clarinet|reed|0:71|50-86|s|m
piccolo|piccolo flute|pipe|0:72|74-100|s|m
flute|transverse flute, concert flute|pipe|0:73|60-95|s|m
recorder|wooden recorder, block flute|pipe|0:74|60-90|s|m
pan flute|panpipes|pipe|0:75|60-90|s|m
blown bottle|bottle flute|pipe|0:76|55-84|s|m
shakuhachi|Japanese bamboo flute|pipe|0:77|55-84|s|m
whistle|human whistle, whistling|pipe|0:78|67-96|s|m
ocarina|clay flute|pipe|0:79|60-88|s|m
square lead|square wave synth, chiptune lead|synth lead|0:80|48-91|s|m
saw lead|sawtooth lead, sawtooth synth|synth lead|0:81|48-91|s|m
calliope lead|steam organ synth|synth lead|0:82|55-91|s|m
chiff lead|chiffer synth|synth lead|0:83|55-91|s|m
charang lead|distorted synth lead|synth lead|0:84|48-86|s|m
solo vox|vocal lead synth|synth lead|0:85|48-84|s|m
fifths lead|parallel fifths synth|synth lead|0:86|40-84|s|m
bass and lead|gritty synth lead|synth lead|0:87|36-84|s|m
fantasia pad|new age pad, bell pad|synth pad|0:88|43-84|s|p
warm pad|warm analog pad, soft pad|synth pad|0:89|43-84|s|p
polysynth|poly synth pad, polyphonic synth|synth pad|0:90|43-84|s|p
space voice pad|choir pad|synth pad|0:91|43-84|s|p
bowed glass pad|glass pad|synth pad|0:92|43-84|s|p
metallic pad|metal pad|synth pad|0:93|43-84|s|p
halo pad|angelic pad|synth pad|0:94|43-84|s|p
sweep pad|sweeping synth pad, filter sweep pad|synth pad|0:95|43-84|s|p
ice rain synth|icy synth|synth pad|0:96|48-84|d|p
soundtrack pad|cinematic pad, film score pad|synth pad|0:97|40-79|s|p
crystal synth|crystal bells, glassy synth|synth pad|0:98|55-91|d|p
atmosphere synth|atmospheric guitar pad|synth pad|0:99|43-84|d|p
brightness pad|bright synth pad|synth pad|0:100|43-84|d|p
goblin pad|eerie pad, spooky synth|synth pad|0:101|40-79|s|p
echo drops synth|echoing synth|synth pad|0:102|48-84|s|p
star theme pad|sci-fi pad|synth pad|0:103|43-84|s|p
sitar|Indian sitar|ethnic|0:104|48-77|d|m
banjo|five-string banjo, bluegrass banjo|ethnic|0:105|48-79|d|p
shamisen|Japanese shamisen|ethnic|0:106|50-79|d|m
koto|Japanese koto|ethnic|0:107|48-84|d|p
kalimba|thumb piano, mbira|ethnic|0:108|55-84|d|p
bagpipes|Scottish bagpipes, bagpipe|ethnic|0:109|55-77|s|m
fiddle|folk fiddle, country fiddle|strings|0:110|55-91|s|m
shanai|shehnai, Indian oboe|ethnic|0:111|55-84|s|m
tinkle bell|small bell, tinkling bell|percussion|0:112|60-91|d|m
agogo bells|agogo|percussion|0:113|60-84|d|m
steel drums|steelpan, Caribbean steel drum|chromatic percussion|0:114|52-84|d|p
woodblock|wooden block|percussion|0:115|55-84|d|m
taiko drum|Japanese drum, taiko|percussion|0:116|40-60|d|m
melodic tom|tom-tom, tuned tom|percussion|0:117|40-67|d|m
synth drum|electronic tom|percussion|0:118|40-67|d|m
ukulele|uke, Hawaiian ukulele|guitar|8:24|55-81|d|p
twelve-string guitar|12-string guitar, 12-string acoustic guitar|guitar|8:25|40-79|d|p
pedal steel guitar|Hawaiian guitar, lap steel guitar|guitar|8:26|45-79|d|m
funk guitar|wah guitar, scratchy funk guitar|guitar|8:28|40-76|d|m
mandolin|folk mandolin|ethnic|16:25|55-88|d|p
church bell|tolling bell, big church bell|chromatic percussion|8:14|48-72|d|m
sine lead|sine wave synth, pure sine synth|synth lead|8:80|48-91|s|m
castanets|Spanish castanets|percussion|8:115|55-72|d|m
concert bass drum|orchestral bass drum|percussion|8:116|40-55|d|m
orchestral pad|orchestra pad|synth pad|8:48|40-84|s|p
"""

# Ours: numpy only, so a corpus without any soundfont still has every role.
_SYNTHESISED = """
saw pad|analog pad, warm analog pad, Juno-style pad|synth pad|0:0|40-79|s|p
glass bell|FM bell, digital bell|chromatic percussion|0:1|60-91|d|p
plucked string|synthetic harp, plucked synth string|ethnic|0:2|45-84|d|p
supersaw lead|trance lead, detuned saw lead|synth lead|0:3|48-88|s|m
chip lead|8-bit lead, chiptune synth, Game Boy style lead|synth lead|0:4|52-91|s|m
acid bass|squelchy acid bass, 303-style bass|bass|0:5|28-52|d|m
sub bass|deep sub bass, sine bass|bass|0:6|28-48|s|m
reese bass|detuned growling bass, wobbling reese bass|bass|0:7|28-52|s|m
FM keys|digital keys, synthetic electric piano|piano|0:8|41-84|d|p
organ tone|simple organ, additive organ|organ|0:9|41-84|s|p
pulse pluck|synth pluck, short synth pluck|synth lead|0:10|48-88|d|p
evolving drone pad|evolving synth texture, slowly moving pad|synth pad|0:11|36-72|s|p
sine tone|pure tone, test tone|synth lead|0:12|45-96|s|m
choir pad synth|formant choir pad, breathy vowel pad|voice|0:13|45-76|s|p
"""


@dataclass(frozen=True)
class Instrument:
    """One named timbre.

    Args:
        low: MIDI notes.
        high: MIDI notes.
        sustained: Holds its level.
        polyphonic: Is asked for chords.
    """

    name: str
    aliases: tuple[str, ...]
    family: str
    bank: int
    program: int
    low: int
    high: int
    sustained: bool
    polyphonic: bool
    synthesised: bool

    @property
    def styles(self) -> tuple[str, ...]:
        """Ways of playing that make sense on this instrument."""
        styles = SUSTAINED_STYLES if self.sustained else DECAYING_STYLES
        return (*styles, "chords") if self.polyphonic else styles


@dataclass(frozen=True)
class Preset:
    """An instrument as one font plays it."""

    font: str
    bank: int
    program: int

    @property
    def id(self) -> str:
        """Stable name such as "FluidR3_GM/0:40"."""
        return f"{self.font}/{self.bank}:{self.program}"


# MuseScore's grand pianos need modulators that the renderer lacks: they come out muffled and 30 dB too soft.
_UNFIT = {(MUSESCORE, 0, 0), (MUSESCORE, 0, 1)}


@cache
def instruments() -> tuple[Instrument, ...]:
    """All instruments, in a fixed order."""
    general = tuple(_parse(line, False) for line in _GENERAL_MIDI.strip().splitlines())
    return general + tuple(_parse(line, True) for line in _SYNTHESISED.strip().splitlines())


def presets_of(instrument: Instrument, fonts: tuple[str, ...]) -> tuple[Preset, ...]:
    """The presets that play `instrument` with these fonts; may be empty."""
    if instrument.synthesised:
        return (Preset(SYNTH, instrument.bank, instrument.program),)
    candidates = (Preset(font, instrument.bank, instrument.program) for font in (FLUID, MUSESCORE) if font in fonts)
    return tuple(p for p in candidates if (p.font, p.bank, p.program) not in _UNFIT)


def _parse(line: str, synthesised: bool) -> Instrument:
    name, aliases, family, number, span, envelope, voices = (part.strip() for part in line.split("|"))
    bank, program = (int(x) for x in number.split(":"))
    low, high = (int(x) for x in span.split("-"))
    names = tuple(alias.strip() for alias in aliases.split(","))
    return Instrument(name, names, family, bank, program, low, high, envelope == "s", voices == "p", synthesised)
