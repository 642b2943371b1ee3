"""How stored latents lie on disk.

header.json            what made them, how many clips and shards there must be
latents/00000.npy      float16 [frames, C]: the clips of one shard end to end, memory-mappable
latents/00000.curves.npy  float16 [frames, curves]: the header's curves of the same clips, see audio.curves; the level
                       is in dB. Folders of format 1 have none
latents/00000.jsonl    one ClipRecord a line; written after its .npy, so its presence says the shard is whole
text/header.json       what made the text embeddings
text/00000.npy         float16 [tokens, D]: the captions of one shard end to end
text/00000.pooled.npy  float16 [captions, D]
text/00000.jsonl       one CaptionRecord a line; written last
"""

from pathlib import Path

import msgspec

from arctone.data.clip import ClipInfo

FORMAT_VERSION = 2
# In the order of their columns.
CURVES = ("loudness", "brightness", "pitch")


class LatentsHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says what the latents are, and refuses mixtures.

    autoencoder_hash, source_hash: SHA-256 in hex. num_clips: clips of the source. clips_per_shard, batch_frames:
    how the work is cut; both change the arithmetic's order, so a restart must use the same. curves: names of those that
    are stored.
    """

    autoencoder_hash: str
    source_hash: str
    num_clips: int
    clips_per_shard: int
    batch_frames: int
    hop_length: int
    sample_rate: int
    precision: str = "32-true"
    curves: tuple[str, ...] = ()
    format_version: int = FORMAT_VERSION

    @property
    def num_shards(self) -> int:
        """Shards of a finished folder."""
        return -(-self.num_clips // self.clips_per_shard)


class ClipRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One stored clip. index: its number in the source. offset: first row in the shard's array; frames: rows.

    problem: empty, or why the clip could not be used; then frames is 0.
    """

    index: int
    offset: int
    frames: int
    info: ClipInfo
    problem: str = ""


class TextHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Says what the text embeddings are. encoder_hash, captions_hash: SHA-256 in hex."""

    encoder_hash: str
    captions_hash: str
    num_captions: int
    captions_per_shard: int
    format_version: int = FORMAT_VERSION

    @property
    def num_shards(self) -> int:
        """Shards of a finished folder."""
        return -(-self.num_captions // self.captions_per_shard)


class CaptionRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One embedded caption. offset: first row in the shard's token array; tokens: rows."""

    caption: str
    offset: int
    tokens: int


def header_path(folder: Path) -> Path:
    """The header of latents or of text embeddings."""
    return folder / "header.json"


def latents_path(folder: Path, shard: int) -> Path:
    """Latents of one shard, float16 [frames, C]."""
    return folder / "latents" / f"{shard:05d}.npy"


def curves_path(folder: Path, shard: int) -> Path:
    """Curves of one shard, float16 [frames, curves]."""
    return folder / "latents" / f"{shard:05d}.curves.npy"


def clips_path(folder: Path, shard: int) -> Path:
    """Records of one shard's clips."""
    return folder / "latents" / f"{shard:05d}.jsonl"


def text_folder(folder: Path) -> Path:
    """Where the text embeddings lie beside latents."""
    return folder / "text"


def tokens_path(text: Path, shard: int) -> Path:
    """Token states of one shard, float16 [tokens, D]."""
    return text / f"{shard:05d}.npy"


def pooled_path(text: Path, shard: int) -> Path:
    """Pooled vectors of one shard, float16 [captions, D]."""
    return text / f"{shard:05d}.pooled.npy"


def captions_path(text: Path, shard: int) -> Path:
    """Records of one shard's captions."""
    return text / f"{shard:05d}.jsonl"
