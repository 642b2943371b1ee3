"""Text encoder: all-MiniLM-L6-v2 (BERT, 6 blocks x 384) in plain torch.

B batch, L text tokens, D width, H heads, K head size.

The encoder is frozen everywhere in this project, so there is no dropout. Attention is written out (matmul, softmax,
matmul, additive mask) because that is the form the graph export keeps whole.

Source: Devlin et al. 2018 (BERT, post-norm blocks); Wang et al. 2020 (MiniLM); mean pooling: sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

PADDING_PENALTY = -1e4
"""Added to attention scores of padding tokens; e^-10000 is 0 in float32."""


class TextBlock(nn.Module):
    """One post-norm transformer block: [B, L, D] and an additive mask [B, 1, 1, L] to [B, L, D]."""

    def __init__(self, width: int, num_heads: int, hidden: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_attention = nn.LayerNorm(width, eps=1e-12)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)
        self.norm_mlp = nn.LayerNorm(width, eps=1e-12)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        x = self.norm_attention(x + self.attend(x, bias))
        return self.norm_mlp(x + self.down(functional.gelu(self.up(x))))  # type: ignore[no-any-return]

    def attend(self, x: Tensor, bias: Tensor) -> Tensor:
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3 * self.num_heads, width // self.num_heads).transpose(1, 2)
        q, k, v = qkv.split(self.num_heads, dim=1)  # each [B, H, L, K]
        scores = q @ k.transpose(2, 3) * q.shape[-1] ** -0.5 + bias  # [B, H, L, L]
        mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(batch, length, width)
        return self.out(mixed)  # type: ignore[no-any-return]


class TextEncoder(nn.Module):
    """Token states and one pooled vector for a prompt of fixed length.

    Args:
        vocabulary: Number of token ids.
        length: L.
        width: D.
        depth: blocks.
        num_heads: H.
        hidden: MLP width.
    """

    def __init__(
        self,
        vocabulary: int = 30522,
        length: int = 64,
        width: int = 384,
        depth: int = 6,
        num_heads: int = 12,
        hidden: int = 1536,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.randn(length, width) * 0.02)
        self.norm = nn.LayerNorm(width, eps=1e-12)
        self.blocks = nn.ModuleList(TextBlock(width, num_heads, hidden) for _ in range(depth))

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Encodes padded prompts.

        Args:
            ids: Int32 [B, L].
            mask: Float [B, L], 1 = real token, 0 = padding; at least one real token per row.

        Returns:
            Token states [B, L, D], zero at padding; mean of the real states, L2-normalised, [B, D].
        """
        bias = ((1.0 - mask) * PADDING_PENALTY)[:, None, None, :]
        x = self.norm(self.words(ids) + self.positions)
        for block in self.blocks:
            x = block(x, bias)
        tokens = x * mask[:, :, None]
        mean = tokens.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return tokens, mean / mean.square().sum(dim=1, keepdim=True).sqrt()


def load_minilm(folder: Path | str, length: int = 64) -> TextEncoder:
    """Load all-MiniLM-L6-v2 from a folder with its published `model.safetensors`.

    Args:
        folder: The folder.
        length: Number of tokens of a prompt.

    Returns:
        The encoder in evaluation mode, without gradients.

    Raises:
        FileNotFoundError: If the file is missing.
        KeyError: If it holds another architecture.
    """
    encoder = TextEncoder(length=length)
    encoder.load_state_dict(convert_bert(load_file(Path(folder) / "model.safetensors"), length))
    return encoder.eval().requires_grad_(False)


def convert_bert(published: Mapping[str, Tensor], length: int) -> dict[str, Tensor]:
    """Rename published BERT weights.

    Args:
        published: Tensors by their published names.
        length: Positions that are kept; later ones are left out, and so is the unused pooler.

    Returns:
        Tensors by our names.
    """
    embed = "embeddings."
    state = {
        "words.weight": published[embed + "word_embeddings.weight"],
        "positions": published[embed + "position_embeddings.weight"][:length]
        + published[embed + "token_type_embeddings.weight"][0],
        "norm.weight": published[embed + "LayerNorm.weight"],
        "norm.bias": published[embed + "LayerNorm.bias"],
    }
    depth = 1 + max(int(name.split(".")[2]) for name in published if name.startswith("encoder.layer."))
    for index in range(depth):
        state.update(_convert_block(published, f"encoder.layer.{index}.", f"blocks.{index}."))
    return state


def _convert_block(published: Mapping[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    pairs = {
        "out": "attention.output.dense",
        "norm_attention": "attention.output.LayerNorm",
        "up": "intermediate.dense",
        "down": "output.dense",
        "norm_mlp": "output.LayerNorm",
    }
    state = {}
    for kind in ("weight", "bias"):
        parts = [published[f"{theirs}attention.self.{name}.{kind}"] for name in ("query", "key", "value")]
        state[f"{ours}qkv.{kind}"] = torch.cat(parts)
        state.update({f"{ours}{name}.{kind}": published[f"{theirs}{old}.{kind}"] for name, old in pairs.items()})
    return state
