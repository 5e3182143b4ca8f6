"""A transformer over the tokens of a clip: patches of space and time, positions in three axes, layers.

Shapes: B clips, T x H x W tokens of a clip in raster order, N tokens that a forward pass sees, D width of a token,
E channels of a head.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vljepa.configs.v_jepa import LayersConfig, Positions, RopePositions, VideoEncoderConfig

Grid = tuple[int, int, int]
"""Tokens in time, height and width."""
Rotation = tuple[Tensor, Tensor]
"""Cosines and sines, [B or 1, 1, N, E]."""
_BASE = 10_000.0
_EPS = 1e-6
_STD = 0.02


def places(grid: Grid, *, device: torch.device | str = "cpu") -> Tensor:
    """Time, row and column of every token of a grid, [N, 3]."""
    return torch.cartesian_prod(*(torch.arange(size, device=device) for size in grid)).reshape(-1, 3)


def sincos(grid: Grid, width: int, *, device: torch.device | str = "cpu") -> Tensor:
    """Fixed encoding of every place of a grid, [N, width]: a third of the channels for each axis, the rest 0."""
    half = width // 6
    frequencies = _BASE ** (-torch.arange(half, device=device, dtype=torch.float32) / max(half, 1))
    angles_N3H = places(grid, device=device).float().unsqueeze(-1) * frequencies
    encoded_ND = torch.cat([angles_N3H.sin(), angles_N3H.cos()], dim=-1).flatten(1)
    return F.pad(encoded_ND, (0, width - encoded_ND.shape[1]))


def rope(grid: Grid, channels: int, *, released: bool, device: torch.device | str = "cpu") -> Rotation:
    """Cosines and sines of every place of a grid, each [N, channels], for `rotated`.

    Args:
        grid: Tokens of the clip.
        channels: Of a head; each axis has 2 * ((channels // 3) // 2) of them, the rest are not turned.
        released: Angles in the order that the released V-JEPA 2 weights know, see `RopePositions`.
        device: Of the result.
    """
    pairs = (channels // 3) // 2
    frequencies = _BASE ** (-torch.arange(pairs, device=device, dtype=torch.float32) / max(pairs, 1))
    angles_N3P = places(grid, device=device).float().unsqueeze(-1) * frequencies
    both = angles_N3P.repeat(1, 1, 2) if released else angles_N3P.repeat_interleave(2, dim=-1)
    angles_NE = F.pad(both.flatten(1), (0, channels - 6 * pairs))
    return angles_NE.cos(), angles_NE.sin()


def rotated(states_BHNE: Tensor, rotation: Rotation) -> Tensor:
    """Queries or keys with each pair of neighbouring channels turned."""
    cos, sin = rotation
    even, odd = states_BHNE[..., 0::2], states_BHNE[..., 1::2]
    turned = torch.stack((-odd, even), dim=-1).flatten(-2)
    return states_BHNE * cos + turned * sin


class Layer(nn.Module):
    """Attention and an MLP, each after a LayerNorm and beside a residual connection.

    Args:
        config: Of the stack.
        number: Of the layer, from 1: what it adds begins the smaller the later it comes.
    """

    def __init__(self, config: LayersConfig, *, number: int) -> None:
        super().__init__()
        width, hidden = config.width, int(config.width * config.mlp_ratio)
        self.heads = config.heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=_EPS), nn.LayerNorm(width, eps=_EPS)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        for linear in (self.qkv, self.proj, self.fc1, self.fc2):
            fresh(linear)
        with torch.no_grad():
            for linear in (self.proj, self.fc2):
                linear.weight.div_((2.0 * number) ** 0.5)

    def forward(self, tokens_BND: Tensor, rotation: Rotation | None) -> Tensor:
        """Tokens [B, N, D] to tokens."""
        heads = self.qkv(self.norm1(tokens_BND)).unflatten(-1, (3, self.heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        if rotation is not None:
            query, key = rotated(query, rotation).to(value.dtype), rotated(key, rotation).to(value.dtype)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens_BND = tokens_BND + self.proj(mixed)
        added_BND: Tensor = self.fc2(F.gelu(self.fc1(self.norm2(tokens_BND))))
        return tokens_BND + added_BND


class Positioned(nn.Module):
    """Layers over tokens that know their places in a grid; not all of them have to be there.

    Args:
        config: Of the layers.
        positions: How places are told.
    """

    def __init__(self, config: LayersConfig, *, positions: Positions) -> None:
        super().__init__()
        self.config, self.positions = config, positions
        self.layers = nn.ModuleList(Layer(config, number=number) for number in range(1, config.depth + 1))
        self.norm = nn.LayerNorm(config.width, eps=_EPS)
        self._tables: dict[tuple[Grid, torch.device], Rotation] = {}

    def forward(
        self, tokens_BND: Tensor, ids_BN: Tensor | None, *, grid: Grid, levels: Sequence[int] = ()
    ) -> list[Tensor]:
        """Normed tokens after each of some layers, counted from 1, and always after the last.

        Args:
            tokens_BND: Without positions.
            ids_BN: Number of each token in the grid; None for all of them in order.
            grid: Of the whole clip.
            levels: The layers.
        """
        first, second = self._table(grid, tokens_BND.device)
        rotation: Rotation | None = None
        if isinstance(self.positions, RopePositions):
            rotation = (_at(first, ids_BN).unsqueeze(1), _at(second, ids_BN).unsqueeze(1))
        else:
            tokens_BND = tokens_BND + _at(first, ids_BN).to(tokens_BND.dtype)
        found: list[Tensor] = []
        for number, layer in enumerate(self.layers, start=1):
            tokens_BND = layer(tokens_BND, rotation)
            if number in levels and number < len(self.layers):
                found.append(self.norm(tokens_BND))
        return [*found, self.norm(tokens_BND)]

    def _table(self, grid: Grid, device: torch.device) -> Rotation:
        if (grid, device) not in self._tables:
            if isinstance(self.positions, RopePositions):
                channels = self.config.width // self.config.heads
                self._tables[grid, device] = rope(grid, channels, released=self.positions.released, device=device)
            else:
                table_ND = sincos(grid, self.config.width, device=device)
                self._tables[grid, device] = (table_ND, table_ND)
        return self._tables[grid, device]


class VideoEncoder(nn.Module):
    """Clips to latents: patches, layers, a LayerNorm (arXiv 2404.08471, 2506.09985).

    Args:
        config: Its sizes.
    """

    def __init__(self, config: VideoEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.patches = nn.Linear(3 * config.tubelet * config.patch**2, config.width)
        fresh(self.patches)
        self.body = Positioned(config, positions=config.positions)

    def grid(self, pixels_BTCHW: Tensor) -> Grid:
        """Tokens of a clip."""
        frames, _, height, width = pixels_BTCHW.shape[1:]
        return frames // self.config.tubelet, height // self.config.patch, width // self.config.patch

    def forward(
        self, pixels_BTCHW: Tensor, ids_BN: Tensor | None = None, *, levels: Sequence[int] = ()
    ) -> list[Tensor]:
        """Latents [B, N, D] after each of some layers, and always after the last.

        Args:
            pixels_BTCHW: Normalised pixels, whole patches; what is over at the right and at the bottom is cut off.
            ids_BN: The tokens that are seen: nothing else of the clip goes in. None for all.
            levels: Layers, counted from 1.
        """
        patches_BNP = patchified(pixels_BTCHW, self.config)
        tokens_BND = self.patches(_at(patches_BNP, ids_BN).to(self.patches.weight.dtype))
        return self.body(tokens_BND, ids_BN, grid=self.grid(pixels_BTCHW), levels=levels)  # type: ignore[no-any-return]


def patchified(pixels_BTCHW: Tensor, config: VideoEncoderConfig) -> Tensor:
    """Patches [B, N, 3 * tubelet * patch * patch] in raster order; inside, channel, frame, row, column."""
    batch, frames, channels, height, width = pixels_BTCHW.shape
    tubelet, patch = config.tubelet, config.patch
    steps, rows, columns = frames // tubelet, height // patch, width // patch
    whole = pixels_BTCHW[:, : steps * tubelet, :, : rows * patch, : columns * patch]
    split = whole.reshape(batch, steps, tubelet, channels, rows, patch, columns, patch)
    return split.permute(0, 1, 4, 6, 3, 2, 5, 7).reshape(batch, steps * rows * columns, -1)


def fresh(linear: nn.Linear) -> None:
    """Begin as the V-JEPA models do: a truncated normal distribution of 0.02, no bias."""
    nn.init.trunc_normal_(linear.weight, std=_STD)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)


def _at(table: Tensor, ids_BN: Tensor | None) -> Tensor:
    """Rows of a table [N, D], or of one per clip [B, N, D]: all, or those with these numbers; [B or 1, n, D]."""
    if table.ndim == 2:
        return table.unsqueeze(0) if ids_BN is None else table[ids_BN]
    return table if ids_BN is None else table.gather(1, ids_BN.unsqueeze(-1).expand(-1, -1, table.shape[-1]))
