"""MDM's network, written so that published weights fit it key by key, used without text.

Source: Tevet et al., Human Motion Diffusion Model (2022), its `trans_enc` and `trans_dec` variants. The network
predicts the clean motion (paper, eq. 2).
"""

import math
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

MAX_POSITIONS = 5000
"""Frames and noise levels share one table of sinusoids, of this length."""


class MdmNetwork(nn.Module):
    """A transformer over the frames of a noised motion, told the noise level by a token.

    Modules carry the names of the published state dicts. There is no dropout: the network is only ever asked.

    Args:
        features: numbers per frame, D.
        width, layers, heads, feedforward: the transformer's.
        arch: `trans_enc` puts the noise level before the frames; `trans_dec` lets the frames attend to it.
        text_width: width of the text encoding that it was trained with; None for one trained without text.
        leading_token: `trans_dec` that puts the noise level before the frames as well.
    """

    positions: Float[Tensor, "P W"]

    def __init__(
        self,
        features: int,
        width: int,
        layers: int,
        heads: int,
        feedforward: int,
        arch: Literal["trans_enc", "trans_dec"] = "trans_enc",
        text_width: int | None = None,
        leading_token: bool = False,
    ) -> None:
        super().__init__()
        self.arch = arch
        self.leading_token = leading_token or arch == "trans_enc"
        self.input_process = nn.ModuleDict({"poseEmbedding": nn.Linear(features, width)})
        self.embed_timestep = nn.ModuleDict(
            {"time_embed": nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))}
        )
        self.embed_text = None if text_width is None else nn.Linear(text_width, width)
        shape = (width, heads, feedforward, 0.0, "gelu")
        if arch == "trans_enc":
            layer = nn.TransformerEncoderLayer(*shape, batch_first=True)
            self.seqTransEncoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        else:
            self.seqTransDecoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(*shape, batch_first=True), layers)
        self.output_process = nn.ModuleDict({"poseFinal": nn.Linear(width, features)})
        self.register_buffer("positions", sinusoids(MAX_POSITIONS, width), persistent=False)

    def forward(
        self,
        noised: Float[Tensor, "B T D"],
        noise_level: Int[Tensor, "B"],
        valid: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The clean motion that the network sees behind a noised one.

        Args:
            noised: normalised features at `noise_level`.
            noise_level: level of the schedule that the network was trained with.
            valid: frames that others may attend to; all by default.
        """
        level = self.embed_timestep["time_embed"](self.positions[noise_level])[:, None]
        # Training without a caption zeroes the text encoding before this layer, so that the layer's bias remains.
        condition = level if self.embed_text is None else level + self.embed_text.bias
        sequence = self.input_process["poseEmbedding"](noised)
        hidden = None if valid is None else ~valid
        if self.leading_token:
            # The encoder's token also carries the (missing) text; the decoder's only the noise level.
            token = condition if self.arch == "trans_enc" else level
            sequence = torch.cat((token, sequence), dim=1)
            hidden = None if hidden is None else torch.cat((torch.zeros_like(hidden[:, :1]), hidden), dim=1)
        sequence = sequence + self.positions[: sequence.shape[1]]
        if self.arch == "trans_enc":
            sequence = self.seqTransEncoder(sequence, src_key_padding_mask=hidden)
        else:
            # One token of memory stands for a caption of any length: without text all its tokens are the same.
            sequence = self.seqTransDecoder(sequence, condition, tgt_key_padding_mask=hidden)
        return self.output_process["poseFinal"](sequence[:, -noised.shape[1] :])


def sinusoids(length: int, width: int) -> Float[Tensor, "length width"]:
    """Vaswani et al.'s position table: sines in even columns, cosines in odd ones.

    In float32 throughout, as in the reference: at position 1000 the rounding is already 6e-5 and the weights know it.
    """
    frequency = torch.exp(torch.arange(0, width, 2, dtype=torch.float32) * (-math.log(10000.0) / width))
    phase = torch.arange(length, dtype=torch.float32)[:, None] * frequency
    return rearrange([phase.sin(), phase.cos()], "wave position frequency -> position (frequency wave)")
