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
    r"voice|laugh|emoji|owo|hey o|cops|dumbass|no idea|random stuff|swears|\bben \b|dj|fanfare|world|how do|should clean|other"
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
# What the rules make of some names, and what it should be; "" leaves the recording out.
REPHRASED: dict[str, str] = {
    "a bang on shelf": "a bang on a shelf", "a big knife sheath": "a big knife put into its sheath", "a big knife unsheath": "a big knife drawn",
    "a small knife sheath": "a small knife put into its sheath", "a small knife unsheath": "a small knife drawn", "a big metal brush": "a metal brush stroke",
    "a blade": "a sword blade", "a book": "a book handled", "a book place": "a book put down", "a book flip": "flipped book pages",
    "a bumpy texture": "a finger rubbing a bumpy texture", "a ridged texture": "a finger rubbing a ridged texture",
    "a smooth texture": "a finger rubbing a smooth texture", "a caress melon": "a melon rubbed by hand", "a caress paper": "paper rubbed by hand",
    "a click button": "a button click", "a close drawer": "a closing drawer", "a cloth belt": "a rustling cloth belt",
    "a computer keyboard key": "a computer keyboard key press", "a computer keyboard key combo": "several computer keyboard keys pressed",
    "a computer keyboard typing slower": "slow typing on a computer keyboard", "computer keyboard typing": "typing on a computer keyboard",
    "a computer model d switch": "a synthesizer switch", "a course fabric": "rubbed coarse fabric", "a scratchy fabric": "rubbed scratchy fabric",
    "a creature attack sound": "an attacking creature", "a creature burble sound": "a burbling creature", "a creature die sound": "a dying creature",
    "a creature grunt sound": "a grunting creature", "a creature hurt": "a hurt creature", "a creature hurt sound": "a hurt creature",
    "a creature weird sound": "a weird creature sound", "a crinkle plastic": "crinkling plastic", "a crinkle wheeze": "a crinkly wheeze",
    "a crinkly plastic": "crinkling plastic", "a crumple thick plastic": "crumpling thick plastic", "a cut paper": "cutting paper",
    "a digital zap three tone down sound": "three falling digital zaps", "a digital zap three tone up sound": "three rising digital zaps",
    "a digital zap two tone sound": "two digital zaps", "a door": "a moving door", "a draw knife": "a knife being drawn",
    "a drawer move": "a moving drawer", "a dry cut": "a paper cutter blade", "a flashlight clicky": "a flashlight switch click",
    "a floppy paper": "flapping paper", "a hammer": "a hammer blow", "a hand saw blade wop": "a hand saw blade wobble", "a juggle melon": "a melon tossed from hand to hand",
    "a knock melon": "a knock on a melon", "a slap melon": "a slap on a melon", "a tap melon": "a tap on a melon", "a rough up melon": "a melon being beaten",
    "a hammer strike": "a hammer smashing a melon", "a rip and tear": "a melon torn apart", "a peel sticker": "a sticker peeled off",
    "a light  impact": "a light impact", "a light impact": "a light impact", "a lock": "a lock turning", "a metal": "a clank of metal", "a metal interaction": "metal handled",
    "a microwave door close": "a microwave door closing", "a microwave door open": "a microwave door opening", "a mining impact": "a pickaxe hitting rock",
    "a page turn fast": "a quick page turn", "a riffle turn page": "riffled pages", "a paper": "rustling paper", "a peppy digital sound": "a cheerful digital sound",
    "a pill bottle bottle pop": "a pill bottle pop", "a pill bottle roll": "a rolling pill bottle", "a pill bottle shake": "a shaken pill bottle",
    "a pill bottle twist cap": "a twisted pill bottle cap", "a pot": "a struck pot", "a pull tape": "a strip of tape pulled off", "a pushing plastic": "pushed plastic",
    "a puzzle cube big cube click": "a puzzle cube click", "a puzzle cube big cube drop": "a dropped puzzle cube", "a puzzle cube big cube twist": "a twisted puzzle cube",
    "a puzzle cube small cube drop": "a dropped small puzzle cube", "a puzzle cube small cube squeeze": "a squeezed small puzzle cube",
    "a puzzle cube small cube twist": "a twisted small puzzle cube", "a ratchet harsh": "a harsh ratchet", "a ratchet muted": "a muted ratchet",
    "a rattling cheap wood": "rattling cheap wood", "a rhythmic metal": "rhythmic metal clanks", "a rummage": "rummaging in a toolbox",
    "a shake nail box": "a shaken box of nails", "a shuffle plastic": "shuffled plastic", "a silverware": "clattering silverware", "silverware ting": "a silverware ting",
    "a single cello note, a3 pluck": "a plucked cello note, A3", "a single cello note, a3 sforzando": "a sharply bowed cello note, A3",
    "a single cello note, a3 sustain": "a sustained cello note, A3", "a single cello note, c2 pluck": "a plucked cello note, C2",
    "a single cello note, c2 sforzando": "a sharply bowed cello note, C2", "a single cello note, c2 sustain": "a sustained cello note, C2",
    "a single cello note, d3 pluck": "a plucked cello note, D3", "a single cello note, d3 sforzando": "a sharply bowed cello note, D3",
    "a single cello note, d3 sustain": "a sustained cello note, D3", "a single cello note, g2 pluck": "a plucked cello note, G2",
    "a single cello note, g2 sforzando": "a sharply bowed cello note, G2", "a single cello note, g2 sustain": "a sustained cello note, G2",
    "a slide whistle, drunk": "a wandering slide whistle", "a small can using my big strongs hands to crush tiny can": "a small can crushed by hand",
    "a small can crush": "a crushed small can", "a small can dent": "a dented small can", "a small can drag on tile": "a small can dragged over tiles",
    "a small can flick": "a flicked small can", "a small can flick tab": "the flicked tab of a small can", "a small can pluck tab": "the plucked tab of a small can",
    "a small can roll on tile": "a small can rolling on tiles", "a small can tap on tile": "a small can tapped on tiles", "a small crushed can flick tab": "the flicked tab of a can",
    "small crushed can dropping": "a dropped crushed can", "a teleport": "a teleporter", "a thicc tip cap": "a marker cap", "thicc tip lines": "lines drawn with a marker",
    "thicc tip scribbles": "marker scribbles", "thicc tip writing": "writing with a marker", "fine felt tip lines": "lines drawn with a felt tip pen",
    "fine felt tip scribbles": "felt tip scribbles", "fine felt writing": "writing with a felt tip pen", "mech pencil lines": "lines drawn with a mechanical pencil",
    "mech pencil scribbles": "mechanical pencil scribbles", "mech pencil writing": "writing with a mechanical pencil", "a mech pencil click": "a mechanical pencil click",
    "a tiny wooden dummy tumbles down staircase": "a small wooden thing tumbling", "a whoosh, combo": "several whooshes", "a whoosh, swish": "a swish",
    "a whoosh, classic swish": "a classic swish", "a whoosh, gentle swish": "a gentle swish", "a whoosh, slash": "a slashing whoosh", "a whoosh, twirl": "a twirling whoosh",
    "a whoosh, twirl smol": "a small twirling whoosh", "a whoosh, thunk": "a whoosh with a thunk", "a whoosh, whistle": "a whistling whoosh",
    "a wood": "a knock on wood", "a wooden": "a knock on wood", "a wood close": "a wooden lid closing", "a wooded box open": "a wooden box opening",
    "a switch": "a switch click", "a slide": "a sliding sound", "a swipe": "a swipe", "alien chittering": "chittering aliens",
    "an interface back sound": "an interface back button", "an interface bhoop": "an interface boop", "an interface blap": "an interface blip",
    "an interface crak": "an interface crack", "interface bling": "an interface bling", "an interface mouseclick sound": "a mouse click",
    "an interface mouserelease sound": "a released mouse button", "an interface mouse click sound": "a mouse click",
    "an interface glass sound": "a glassy interface sound", "an interface question sound": "a questioning interface sound",
    "an item gem": "a gem pickup", "an item stone": "a stone pickup", "an item wood": "a wooden item pickup", "an open close": "opening and closing",
    "boyioioing": "a boinging spring", "breaking": "something breaking", "falling": "something falling down", "an electromagnetic noise of a cell phone": "electromagnetic noise of a cell phone",
    "an electromagnetic noise of a cell microphone": "electromagnetic noise of a cell phone", "an electromagnetic noise of a cell reception": "electromagnetic noise of a cell phone",
    "an electromagnetic noise of a computer monitor": "electromagnetic noise of a computer monitor",
    "an electromagnetic noise of a computer tower": "electromagnetic noise of a computer", "electromagnetic noise of a em room noise": "electromagnetic noise",
    "book closing": "a closing book", "book opening": "an opening book", "door closing": "a closing door", "door opening": "an opening door",
    "lock opening": "a lock opening", "metal closing": "closing metal", "metal opening": "opening metal", "metal spring": "a metal spring", "metal swing": "swinging metal",
    "footstep on grass": "a footstep on grass", "glass glasses": "clinking glasses", "jostle books": "jostled books", "metal button press": "a metal button press",
    "muted rolling": "muted rolling", "riffle pages": "riffled pages", "shoofing papers": "shuffled papers", "hiss": "a hiss", "spring": "a bouncing spring",
    "stones": "falling stones", "tools": "clattering tools", "keys": "jingling keys", "tapping": "tapping on plastic", "weird ruffled thing": "",
    "a metal hit": "a hit on metal", "a wood hit": "a hit on wood", "a rock hit": "a hit on rock", "a glass hit": "a hit on glass", "a hit": "a dull hit",
    "an arcade death cry": "an arcade death cry", "a shot": "a gunshot", "a weird sound": "a weird sound effect", "monster noise": "a monster noise",
}  # fmt: skip

_PLURAL_OR_MASS = re.compile(r"(ing|[^s]s|cloth|noise|rain|water|thunder|music)$")


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
    phrase = PACK_TEMPLATES.get(pack, "{}").format(words)
    phrase = with_article(phrase.removeprefix("a ").removeprefix("an "))
    return REPHRASED.get(phrase, phrase) or None


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
