"""A published MDM checkpoint as the prior of a fit: HumanML3D features around the exact network."""

from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from diffopt.errors import DiffoptError
from diffopt.prior.interface import GuidingPrior
from diffopt.prior.mdm.checkpoint import PADDED_FRAMES, Denoiser, load_denoiser
from diffopt.prior.mdm.humanml3d import BLOCKS, FEATURES, Normalization, features_from_joints

PADDING_SEED = 0


class MdmPrior(GuidingPrior):
    """Answers guidance with a network that knows one noise level for all of a motion.

    Args:
        denoiser: the network and its schedule.
        normalization: statistics that its features were normalised with.
    """

    root = slice(0, BLOCKS["root_height"].stop)
    articulation = slice(BLOCKS["root_height"].stop, FEATURES)

    def __init__(self, denoiser: Denoiser, normalization: Normalization) -> None:
        super().__init__()
        self.denoiser, self.normalization = denoiser, normalization
        self.schedule = denoiser.schedule
        self.fps, self.window = denoiser.fps, PADDED_FRAMES

    def features(
        self,
        rotations: Float[Tensor, "*B T 22 3 3"],
        joints: Float[Tensor, "*B T 22 3"],
        valid: Bool[Tensor, "*B T"] | None = None,
    ) -> Float[Tensor, "*B S D"]:
        """Normalised HumanML3D features; they follow from the joints alone, `rotations` only has their place.

        Raises:
            ValueError: some frames are not `valid`; the features of a frame depend on its neighbours' headings.
        """
        if valid is not None and not bool(valid.all()):
            raise ValueError("HumanML3D features need every frame of a window. Cut windows where all frames exist.")
        # The original's slip, where a heading wraps, would turn the gradient of that frame's turn around.
        return self.normalization.normalize(features_from_joints(joints, mode="fixed"))

    def denoise(
        self,
        features: Float[Tensor, "B T D"],
        root_level: Int[Tensor, " B"],
        articulation_level: Int[Tensor, " B"],
        valid: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Predicted clean normalised features.

        The network is told `root_level`. An articulation that is cleaner than that it takes for noisier than it is; for
        exact answers both levels are equal (`guidance.articulation_noise: 1`).
        """
        del articulation_level
        # The same padding each time: a fit that is resumed must not depend on how often it asked before.
        generator = torch.Generator(features.device).manual_seed(PADDING_SEED)
        return self.denoiser.denoise(features, root_level, valid, generator)


def load_mdm_prior(path: str | Path) -> MdmPrior:
    """Read a published MDM checkpoint that was trained on HumanML3D, frozen and on the CPU.

    Args:
        path: the `.pt` file, or its folder; `args.json` stands in the same folder.

    Raises:
        DiffoptError: no checkpoint there, or one of other features than HumanML3D's.
    """
    try:
        denoiser = load_denoiser(path)
    except (FileNotFoundError, ValueError) as error:
        raise DiffoptError(str(error)) from error
    found = denoiser.network.output_process["poseFinal"].out_features
    if found != FEATURES:
        raise DiffoptError(
            f"{path} knows motions of {found} features a frame, not HumanML3D's {FEATURES}. "
            "Pass a checkpoint that was trained on HumanML3D."
        )
    return MdmPrior(denoiser, Normalization.humanml3d()).eval().requires_grad_(False)
