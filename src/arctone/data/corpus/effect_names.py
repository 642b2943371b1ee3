"""What the recordings of the effect packs are called in English.

Names of files are cleaned by rules; the tables below replace what the rules cannot guess.
"""

from __future__ import annotations

import re

# "pack" or "pack/name without number" -> phrase; None leaves recordings out (speech, jokes, unclear content).
PACK_TEMPLATES: dict[str, str] = {
    "30-cc0-sfx-loops": "a looping {} sound",
    "30-cc0-weird-sfx": "a weird electronic sound",
    "25-CC0-mud-sfx": "a step in mud",
    "kenney_digitalaudio": "a digital {} sound",
    "80-CC0-creature-sfx-2": "a creature {} sound",
    "80-CC0-creature-SFX": "a creature {} sound",
    "kenney_interfacesounds": "an interface {} sound",
    "kenney_uiaudio": "an interface {} sound",
    "bb - Slide Whistle (Aug 2021)": "a slide whistle, {}",
    "bb - Novice Cello (Nov 2021)": "a single cello note, {}",
    "bb - Rubik's Cube (Feb 2021)": "a puzzle cube {}",
    "bb - Japanese Pull Saw (Oct 2021)": "a hand saw blade {}",
    "bb - Keyboard Sounds (Mar 2021)": "a computer {}",
    "bb - Pill Bottles (Jun 2021)": "a pill bottle {}",
    "bb - Bottle Plops (Apr 2021)": "a bottle {}",
    "Micro Pack - Record Fuzzies": "vinyl record noise",
    "Micro Pack - NazdyNate - Electromagnetic Sounds": "electromagnetic noise of a {}",
    "Micro Pack - Organic Wooshes": "a whoosh, {}",
    "beast_or_animal": "a beast {}",
    "metal_interactions": "{}",
    "LQ_interface": "an interface {}",
}
LEFT_OUT_PACKS = frozenset({"Micro Pack - MadameBerry - Stream Noises"})
LEFT_OUT_WORDS = re.compile(
    r"voice|laugh|emoji|owo|hey o|cops|dumbass|no idea|random stuff|swears|ben |dj|fanfare|world|how do|should clean|other"
    r"|ooh|human|bar crowd|uncomfortable",
    re.IGNORECASE,
)
EXACT: dict[str, str] = {
    "30-cc0-sfx-loops/alarm": "a looping alarm", "30-cc0-sfx-loops/ambient": "a strange ambient loop",
    "30-cc0-sfx-loops/machine": "a running machine", "30-cc0-sfx-loops/noise": "a noisy machine loop",
    "30-cc0-sfx-loops/pump": "a running pump", "30-cc0-sfx-loops/rain": "steady rain",
    "30-cc0-sfx-loops/rolling": "something rolling", "30-cc0-sfx-loops/saw": "sawing",
    "30-cc0-sfx-loops/water_boiling": "boiling water", "30-cc0-sfx-loops/water_flowing": "flowing water",
    "30-cc0-sfx-loops/weird": "a weird electronic loop",
    "angerdog/angerdog": "an angry growling dog", "angerdog/chairwheel": "a squeaky chair wheel",
    "MissLavs Sounds/angerdog": "an angry growling dog", "MissLavs Sounds/chairwheel": "a squeaky chair wheel",
    "MissLavs Sounds/potsandpansclean": "clattering pots and pans",
    "kenney_digitalaudio/highDown": "a high falling digital tone", "kenney_digitalaudio/highUp": "a high rising digital tone",
    "kenney_digitalaudio/laser": "a digital laser shot", "kenney_digitalaudio/lowDown": "a low falling digital tone",
    "kenney_digitalaudio/lowRandom": "low random digital tones", "kenney_digitalaudio/pepSound": "a peppy digital sound",
    "kenney_digitalaudio/lowThreeTone": "three low digital tones", "kenney_digitalaudio/powerUp": "a digital power-up",
    "kenney_digitalaudio/spaceTrash": "sci-fi space debris noise", "kenney_digitalaudio/threeTone": "three digital tones",
    "kenney_digitalaudio/twoTone": "two digital tones", "kenney_digitalaudio/zap": "a digital zap",
    "kenney_digitalaudio/tone": "a digital tone", "kenney_digitalaudio/phaserUp": "a rising phaser shot",
    "kenney_digitalaudio/phaserDown": "a falling phaser shot", "kenney_digitalaudio/phaseJump": "a phasing jump sound",
    "sci-fi-sounds/computerNoise": "sci-fi computer noise", "sci-fi-sounds/doorClose": "a sci-fi door closing",
    "sci-fi-sounds/doorOpen": "a sci-fi door opening", "sci-fi-sounds/engineCircular": "a whirring sci-fi engine",
    "sci-fi-sounds/explosionCrunch": "a crunchy explosion", "sci-fi-sounds/forceField": "a humming force field",
    "sci-fi-sounds/impactMetal": "a metal impact", "sci-fi-sounds/laserLarge": "a large laser cannon",
    "sci-fi-sounds/laserRetro": "a retro laser", "sci-fi-sounds/laserSmall": "a small laser shot",
    "sci-fi-sounds/lowFrequency_explosion": "a deep low frequency explosion", "sci-fi-sounds/slime": "squelching slime",
    "sci-fi-sounds/spaceEngine": "a spaceship engine", "sci-fi-sounds/spaceEngineLarge": "a large spaceship engine",
    "sci-fi-sounds/spaceEngineLow": "a low spaceship engine", "sci-fi-sounds/spaceEngineSmall": "a small spaceship engine",
    "sci-fi-sounds/thrusterFire": "a firing rocket thruster",
    "80-CC0-creature-SFX/barking": "a barking dog", "80-CC0-creature-SFX/burp": "a burp",
    "80-CC0-creature-SFX/cough": "a cough", "80-CC0-creature-SFX/eat": "a creature eating",
    "80-CC0-creature-SFX/howl": "a howling creature", "80-CC0-creature-SFX/roar": "a roaring monster",
    "80-CC0-creature-SFX/scream": "a screaming creature", "80-CC0-creature-SFX/snore": "snoring",
    "80-CC0-creature-SFX/spit": "spitting", "80-CC0-creature-SFX/troll": "a grunting troll",
    "80-CC0-creature-SFX/monster": "a monster", "80-CC0-creature-SFX/alien": "an alien creature",
    "80-CC0-creature-SFX/bug": "a giant bug", "80-CC0-creature-SFX/cute": "a cute little creature",
    "80-CC0-creature-SFX/breath": "a breathing creature", "80-CC0-creature-SFX/nose": "a sniffing nose",
    "80-CC0-creature-sfx-2/alien": "an alien creature", "80-CC0-creature-sfx-2/bug": "a giant bug",
    "80-CC0-creature-sfx-2/breath": "a breathing monster", "80-CC0-creature-sfx-2/roar": "a roaring monster",
    "80-CC0-creature-sfx-2/monster": "a monster", "80-CC0-creature-sfx-2/snore": "snoring",
    "80-CC0-creature-sfx-2/slime": "a slimy creature", "80-CC0-creature-sfx-2/stomp": "a stomping monster",
    "bb - Bottle Plops (Apr 2021)/Bottle - Shake": "a bottle shaken", "bb - Bottle Plops (Apr 2021)/Plop - Airy": "an airy liquid plop",
    "bb - Bottle Plops (Apr 2021)/Plop - Sputter": "a sputtering plop", "bb - Bottle Plops (Apr 2021)/Plop - Viscous": "a thick viscous plop",
    "bb - Bottle Plops (Apr 2021)/Plop - Wheeze": "a wheezing plop",
    "Micro Pack - Chairmat/Fake Thunder": "thunder made with a plastic mat", "Micro Pack - Chairmat/Chair Roll": "a chair rolling",
    "Micro Pack - Chairmat/Multi Woom": "wobbling plastic sheet", "Micro Pack - Chairmat/Woom": "a wobbling plastic sheet",
    "50-cc0-sci-fi-sfx/loop_ambient": "a sci-fi ambience", "50-cc0-sci-fi-sfx/loop_ambient_weird": "a weird sci-fi ambience",
    "50-cc0-sci-fi-sfx/loop_machine": "a humming sci-fi machine", "50-cc0-sci-fi-sfx/weird": "a weird sci-fi sound",
    "50-cc0-sci-fi-sfx/shoot": "a sci-fi shot", "50-cc0-sci-fi-sfx/terminal": "a computer terminal",
    "50-CC0-retro-synth-SFX/retro_die": "a retro game over sound", "50-CC0-retro-synth-SFX/power_up": "a retro power-up",
    "50-CC0-retro-synth-SFX/retro_coin": "a retro coin pickup", "25-CC0-bang-sfx/fw": "a firework",
    "25-CC0-bang-sfx/fw_loop": "crackling fireworks", "25-CC0-bang-sfx/shot": "a gunshot", "25-CC0-bang-sfx/bang": "a loud bang",
    "25-CC0-bang-sfx/cannon": "a cannon shot", "100-CC0-SFX/shot": "a gunshot", "100-CC0-SFX/noise": "a burst of noise",
    "100-CC0-SFX/machine": "a running machine", "100-CC0-SFX/toilet": "a flushing toilet", "100-CC0-SFX/dishes": "clattering dishes",
    "100-CC0-SFX/weird": "a weird sound", "100-CC0-SFX/key_open": "a key opening a lock", "100-CC0-SFX/glass": "a glass clink",
    "80-CC0-RPG-SFX/spell": "a magic spell", "80-CC0-RPG-SFX/spell_fire": "a fire spell", "80-CC0-RPG-SFX/item_coins": "a handful of coins",
    "80-CC0-RPG-SFX/creature_slime": "a slimy creature", "80-CC0-RPG-SFX/creature_roar": "a roaring creature",
    "80-CC0-RPG-SFX/creature_monster": "a monster", "80-CC0-RPG-SFX/creature_die": "a dying creature",
    "40-cc0-water-splash-slime-sfx/loop_rain": "steady rain", "40-cc0-water-splash-slime-sfx/loop_water": "flowing water",
    "40-cc0-water-splash-slime-sfx/loop_bubbles": "bubbling water", "40-cc0-water-splash-slime-sfx/slime": "squelching slime",
    "kenney_casinoaudio/cardFan": "playing cards fanned out", "kenney_casinoaudio/cardShuffle": "shuffling playing cards",
    "kenney_casinoaudio/cardPlace": "a playing card placed on a table", "kenney_casinoaudio/cardSlide": "a sliding playing card",
    "kenney_casinoaudio/cardShove": "a playing card pushed", "kenney_casinoaudio/cardTakeOutPackage": "cards taken out of a package",
    "kenney_casinoaudio/cardOpenPackage": "a package of cards opened", "kenney_casinoaudio/chipLay": "a poker chip laid down",
    "kenney_casinoaudio/chipsCollide": "colliding poker chips", "kenney_casinoaudio/chipsHandle": "a hand playing with poker chips",
    "kenney_casinoaudio/chipsStack": "a stack of poker chips", "kenney_casinoaudio/diceThrow": "dice thrown on a table",
    "kenney_casinoaudio/dieGrab": "dice picked up", "kenney_casinoaudio/dieShuffle": "shaken dice",
    "kenney_casinoaudio/dieThrow": "a die thrown on a table", "kenney_rpgaudio/beltHandle": "a handled leather belt",
    "kenney_rpgaudio/handleCoins": "jingling coins", "kenney_rpgaudio/handleSmallLeather": "rustling leather",
    "kenney_rpgaudio/dropLeather": "dropped leather", "kenney_rpgaudio/footstep": "a footstep", "kenney_rpgaudio/creak": "a wooden creak",
    "kenney_rpgaudio/cloth": "rustling cloth", "kenney_rpgaudio/clothBelt": "a cloth belt", "kenney_rpgaudio/chop": "a chop",
    "kenney_musicjingles/8-Bit jingles/jingles_NES": "an 8-bit video game jingle",
    "kenney_musicjingles/Hit jingles/jingles_HIT": "an orchestral hit jingle",
    "kenney_musicjingles/Pizzicato jingles/jingles_PIZZI": "a pizzicato strings jingle",
    "kenney_musicjingles/Sax jingles/jingles_SAX": "a saxophone jingle",
    "kenney_musicjingles/Steel jingles/jingles_STEEL": "a steel drum jingle",
    "MMRetroArcadeSoundsPack1_0_5/Guns/wav/SciFiGun": "an arcade sci-fi gun", "MMRetroArcadeSoundsPack1_0_5/Guns/wav/Gun": "an arcade gunshot",
    "MMRetroArcadeSoundsPack1_0_5/Guns/wav/Bomb": "an arcade bomb", "MMRetroArcadeSoundsPack1_0_5/Guns/wav/Reload": "a gun reload",
    "MMRetroArcadeSoundsPack1_0_5/Explosions/wav/Explosion": "an arcade explosion",
    "MMRetroArcadeSoundsPack1_0_5/Misc/wav/KerChing": "a cash register", "MMRetroArcadeSoundsPack1_0_5/Misc/wav/Kerching": "a cash register",
    "MMRetroArcadeSoundsPack1_0_5/Vehicles/wav/Rev": "a revving engine", "MMRetroArcadeSoundsPack1_0_5/Vehicles/wav/Skid": "skidding tyres",
    "MMRetroArcadeSoundsPack1_0_5/Vehicles/wav/Engine1Loop": "a running engine", "MMRetroArcadeSoundsPack1_0_5/Vehicles/wav/Engine2Loop": "a running engine",
    "MMRetroArcadeSoundsPack1_0_5/Vehicles/wav/HelicopterLoop": "a helicopter", "MMRetroArcadeSoundsPack1_0_5/Vehicles/wav/TrainLoop": "a moving train",
    "MMRetroArcadeSoundsPack1_0_5/Misc/wav/Siren1Loop": "an arcade siren", "MMRetroArcadeSoundsPack1_0_5/Misc/wav/Electric1Loop": "buzzing electricity",
    "MMRetroArcadeSoundsPack1_0_5/Misc/wav/Electric": "an electric buzz", "MMRetroArcadeSoundsPack1_0_5/Misc/wav/Hydraulic": "a hydraulic hiss",
    "MMRetroArcadeSoundsPack1_0_5/Vocal/wav/Attack": "a battle cry", "MMRetroArcadeSoundsPack1_0_5/Vocal/wav/Death": "an arcade death cry",
    "MMRetroArcadeSoundsPack1_0_5/Vocal/wav/Falling": "a falling scream", "MMRetroArcadeSoundsPack1_0_5/Vocal/wav/Hit": "a grunt of pain",
    "MMRetroArcadeSoundsPack1_0_5/Vocal/wav/InhumanAttack": "a monster attack", "MMRetroArcadeSoundsPack1_0_5/Vocal/wav/InhumanDeath": "a dying monster",
    "MMRetroArcadeSoundsPack1_0_5/Vocal/wav/InhumanGrowl": "a growling monster", "MMRetroArcadeSoundsPack1_0_5/Vocal/wav/InhumanHit": "a hurt monster",
    "MMRetroArcadeSoundsPack1_0_5/Vocal/wav/InhumanMoan": "a moaning monster",
    "Micro Pack - Cat Meows/Cat Meows - Feeding Frenzy": "hungry cats meowing", "Micro Pack - Cat Meows/Cat Meows - Food Time": "a meowing cat",
    "Micro Pack - Cat Meows/Cat Meows - Tiny Tito": "a small cat meowing", "Micro Pack - Cat Meows/Cat Meows - Trevor": "a meowing cat",
}  # fmt: skip

ESC10: dict[str, tuple[str, ...]] = {
    "Dog bark": ("a dog barking", "a barking dog", "dog barking", "a dog bark"),
    "Rain": ("rain", "rainfall", "falling rain"),
    "Sea waves": ("sea waves", "ocean waves", "waves breaking on a shore"),
    "Baby cry": ("a crying baby", "a baby crying", "baby crying"),
    "Clock tick": ("a ticking clock", "clock ticking", "the ticking of a clock"),
    "Person sneeze": ("a sneeze", "a person sneezing", "somebody sneezing"),
    "Helicopter": ("a helicopter", "a flying helicopter", "helicopter rotors"),
    "Chainsaw": ("a chainsaw", "a running chainsaw", "a revving chainsaw"),
    "Rooster": ("a rooster crowing", "a crowing rooster", "a cock-a-doodle-doo"),
    "Fire crackling": ("a crackling fire", "fire crackling", "crackling flames"),
}
LONG_RECORDINGS: dict[str, tuple[str, ...]] = {
    "steam-train-interior": ("inside a steam train", "a steam train ride", "a rattling train carriage"),
    "small-waterfall": ("a small waterfall", "falling water", "a waterfall"),
    "thunderstorm": ("a thunderstorm", "thunder and rain", "a storm with thunder"),
    "fish-tank": ("an indoor fish tank", "an aquarium pump", "a humming aquarium"),
    "dryer": ("a tumble dryer", "a running clothes dryer"),
    "cat-purr": ("a purring cat", "cat purring"),
    "joshs__train": ("a passing train", "a train going by"),
    "film-static": ("film projector static", "old film noise"),
    "frogsandcrickets": ("frogs and crickets at night", "croaking frogs and crickets"),
    "bar-crowd": ("a crowded bar", "a bar crowd murmuring", "pub chatter"),
    "campfire": ("a campfire", "a crackling campfire"),
    "waves-of-hawaii": ("waves on a beach", "ocean waves", "Hawaiian surf"),
    "forestday": ("a forest with birds", "birds in a forest by day", "forest ambience with birdsong"),
    "singing-bowl": ("a deep singing bowl", "a Tibetan singing bowl", "a resonating singing bowl"),
    "wind-chime": ("small wind chimes", "wind chimes"),
    "choirs": ("a granular choir texture", "an ambient choir loop"),
    "eating-sound": ("crunchy eating", "somebody chewing crunchy food"),
    "slurping": ("slurping from a cup", "somebody slurping a drink"),
    "crispetas": ("popping popcorn", "popcorn popping"),
    "drawing-on-paper": ("drawing on paper with charcoal", "a charcoal pencil on paper"),
    "eating-chips": ("eating potato chips", "crunching chips"),
    "birds": ("birds singing", "birdsong", "chirping birds"),
    "boat": ("a boat on the water", "water lapping against a boat"),
    "city": ("a city street", "city traffic", "urban street ambience"),
    "coffee-shop": ("a coffee shop", "a busy café", "café ambience"),
    "fireplace": ("a fireplace", "a crackling fireplace"),
    "rain": ("rain", "steady rain", "falling rain"),
    "storm": ("a storm", "a thunderstorm", "a stormy night"),
    "summer-night": ("a summer night with crickets", "crickets on a summer night"),
    "train": ("a train on the rails", "a rolling train"),
    "waves": ("waves on the shore", "sea waves"),
    "wind": ("wind", "blowing wind"),
}
_PLURAL_OR_MASS = re.compile(r"(ing|s|cloth|noise|snoring|rain|water|thunder|music)$")


def describe_effect(source: str) -> str | None:
    """An English phrase for a file of the effect packs, None if it should not be used.

    Args: source: "repository/pack/folders/name.ext".
    """
    _, pack, *folders = source.rsplit(".", 1)[0].split("/")
    name = re.sub(r"[\d_\-() ]+$", "", "/".join(folders).removeprefix("Audio/"))
    if pack in LEFT_OUT_PACKS or LEFT_OUT_WORDS.search(name):
        return None
    if f"{pack}/{name}" in EXACT:
        return EXACT[f"{pack}/{name}"]
    words = _words(name.split("/")[-1])
    if not words:
        return None
    if pack in PACK_TEMPLATES:
        return with_article(PACK_TEMPLATES[pack].format(words).removeprefix("a ").removeprefix("an "))
    return with_article(words)


def with_article(phrase: str) -> str:
    """`phrase` with "a" or "an" unless its first noun is plural or uncountable."""
    if phrase.startswith(("a ", "an ", "the ")) or _PLURAL_OR_MASS.search(phrase.split(",")[0]):
        return phrase
    return f"{article(phrase)} {phrase}"


def article(phrase: str) -> str:
    """"a" or "an", by the sound of the first word."""
    first = phrase.split()[0].lower() if phrase.split() else ""
    if re.match(r"(8|11|18|80)", first) or first in ("fm", "lp", "mri", "sfx", "hour"):
        return "an"
    if re.match(r"(uku|uni|use|euro|one|old)", first):
        return "an" if first == "old" else "a"
    return "an" if first[:1] in "aeiou" else "a"


def _words(name: str) -> str:
    name = re.sub(r"^(bfh1|Cat Meows|Prescription|Allergies|Glucosamine|Multivitamin|Vitamin [BD]|NazdyNate)[ _-]+", "", name)
    name = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).replace("_", " ").replace(" - ", " ").replace("-", " ")
    words = [word.lower() for word in name.split() if not word.isdigit() and word.lower() not in ("the", "loop", "wav", "a")]
    if words[:1] == ["impact"] and len(words) > 1:
        weight = {"light": "light ", "medium": "", "heavy": "heavy "}.get(words[-1], "")
        material = " ".join(w for w in words[1:] if w not in ("light", "medium", "heavy", "generic"))
        return f"{weight}{material} impact".strip()
    if words[:1] == ["footstep"]:
        return f"footstep on {words[1]}" if len(words) > 1 else "footstep"
    if words[:1] in (["door"], ["lock"], ["book"], ["metal"]) and words[-1] in ("open", "close"):
        return f"{' '.join(words[:-1])} {'opening' if words[-1] == 'open' else 'closing'}"
    return " ".join(words)
