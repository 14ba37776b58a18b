"""What guidance and the fit ask of a motion prior; our own and published MDM checkpoints both answer it."""

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from diffopt.prior.schedule import NoiseSchedule


class GuidingPrior(nn.Module):
    """A frozen denoiser of motion features with its normalisation and its noise schedule.

    Attributes:
        fps: rate of the motions it knows, frames per second.
        window: longest number of feature frames it is asked about.
        schedule: noise levels of both blocks.
        root, articulation: the two blocks of a feature vector.
    """

    fps: float
    window: int
    schedule: NoiseSchedule
    root: slice
    articulation: slice

    def features(
        self,
        rotations: Float[Tensor, "*B T 22 3 3"],
        joints: Float[Tensor, "*B T 22 3"],
        valid: Bool[Tensor, "*B T"] | None = None,
    ) -> Float[Tensor, "*B S D"]:
        """Normalised features of a motion at `fps`; differentiable. One fewer than frames.

        Args:
            rotations: local rotations, index 0 the root's in the world (`global_orient`).
            joints: world positions, metres, y up, floor at y = 0.
            valid: frames that exist, else all.
        """
        raise NotImplementedError

    def denoise(
        self,
        features: Float[Tensor, "B T D"],
        root_level: Int[Tensor, " B"],
        articulation_level: Int[Tensor, " B"],
        valid: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Predicted clean normalised features, given each block noised to its own level of `schedule`."""
        raise NotImplementedError
