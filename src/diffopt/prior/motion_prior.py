"""Our own motion prior as the fit sees it: a frozen denoiser, its normalisation and its noise schedule, in one file.

File: safetensors; the tensors of the network, `mean` and `scale`, and a JSON text under `diffopt` in the header.
"""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from diffopt.errors import DiffoptError
from diffopt.geometry.alignment import heading_rotation
from diffopt.motion.foot_contact import StanceOptions, hold_still, lock_feet, weighted_mean
from diffopt.prior import features as smpl_features
from diffopt.prior.denoiser import DenoiserSize, FactoredDenoiser
from diffopt.prior.interface import GuidingPrior
from diffopt.prior.mdm.mdm_prior import MdmPrior, load_mdm_prior
from diffopt.prior.schedule import NoiseSchedule

SCHEMA = "diffopt/prior/2"
SHIPPED = Path(__file__).parent / "assets" / "prior.safetensors"


@dataclass(frozen=True)
class PriorDescription:
    """What must be known of a prior besides its weights."""

    size: DenoiserSize
    num_steps: int
    """Levels of its cosine noise schedule."""
    window: int
    """Longest number of feature frames it was trained on."""
    fps: float = 20.0
    trained_on: str = ""
    """Data, licence and date, for people to read."""


class MotionPrior(GuidingPrior):
    """A frozen denoiser of SMPL-native motion features.

    Attributes:
        fps: rate of the motions it knows, frames per second.
        schedule: noise levels of both blocks.
        root, articulation: the two blocks of a feature vector.
        window: longest number of feature frames it was trained on; shorter ones will do, and somewhat longer ones too.
        mean, scale: (D,) what normalises the features.
    """

    root: slice = smpl_features.ROOT
    articulation: slice = smpl_features.ARTICULATION
    mean: Float[Tensor, "D"]
    scale: Float[Tensor, "D"]

    def __init__(self, description: PriorDescription) -> None:
        super().__init__()
        size = smpl_features.FEATURE_SIZE
        self.description = description
        self.fps, self.window = description.fps, description.window
        self.schedule = NoiseSchedule.cosine(description.num_steps)
        self.denoiser = FactoredDenoiser(size, self.root.stop, self.schedule, description.size, self.window)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))

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
        return self.normalised(smpl_features.features_from_motion(rotations, joints, self.fps, valid))

    def normalised(self, features: Float[Tensor, "*B S D"]) -> Float[Tensor, "*B S D"]:
        """From physical units to what the network sees."""
        return (features - self.mean) / self.scale

    def physical(self, features: Float[Tensor, "*B S D"]) -> Float[Tensor, "*B S D"]:
        """From what the network sees to metres, seconds and radians."""
        return features * self.scale + self.mean

    def denoise(
        self,
        features: Float[Tensor, "B T D"],
        root_level: Int[Tensor, " B"],
        articulation_level: Int[Tensor, " B"],
        valid: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Predicted clean normalised features, given each block noised to its own level of `schedule`."""
        return self.denoiser(features, root_level, articulation_level, valid)

    def root_velocity(self, features: Float[Tensor, "*B S D"]) -> Float[Tensor, "*B S 3"]:
        """Root velocity in the heading frame of each frame, m/s: what the foot in contact implies plus the residual."""
        return smpl_features.root_velocity(self.physical(features))

    def path_from_articulation(
        self,
        rotations: Float[Tensor, "B T 22 3 3"],
        joints: Float[Tensor, "B T 22 3"],
        stance: StanceOptions,
        doubt_m_s: float,
        doubt_s: float,
        articulation_level: int = 0,
    ) -> Float[Tensor, "B T 3"]:
        """The expected path of the root for a pose sequence, metres, from the first frame's position on.

        One step: the root block is unknown altogether (the noisiest level, mean noise), the articulation is given. Both
        the network and the legs err towards slow: the network where it has not seen the like of a movement, the legs
        where their poses are estimated. So the network's velocity is taken, except where over a while it takes the
        foot in contact for clearly slower than the given legs have it: there they decide alone.

        Args:
            rotations: local rotations, index 0 the root's in the world, at `fps`.
            joints: world positions, metres. Of the root's own path only the first frame is used.
            stance: which feet stand.
            doubt_m_s: where the network takes the foot for slower by this, it is believed a factor root e less, m/s.
            doubt_s: over how long that is averaged, seconds.
            articulation_level: noise level that the articulation is said to have.
        """
        features = self.features(rotations, joints)
        unknown = torch.zeros_like(features[..., self.root])
        given = features[..., self.articulation]
        batch = torch.ones(len(features), dtype=torch.long, device=features.device)
        clean = self.denoise(
            torch.cat((unknown, self.schedule.alpha[articulation_level] * given), dim=-1),
            (self.schedule.num_steps - 1) * batch,
            articulation_level * batch,
        )
        facing = heading_rotation(rotations[..., :-1, 0, :, :])

        def to_world(vectors: Float[Tensor, "B S 3"]) -> Float[Tensor, "B S 3"]:
            return (facing @ vectors[..., None]).squeeze(-1)

        contact, physical = smpl_features.SLICES["contact_velocity"], self.physical(clean)
        of_legs, of_network = (to_world(each[..., contact]) for each in (self.physical(features), physical))
        residual = to_world(physical[..., smpl_features.SLICES["velocity_residual"]])
        belief = _unless_slower(of_network + residual, of_legs + residual, doubt_m_s, doubt_s * self.fps)
        locked = lock_feet(of_legs, joints - joints[..., :1, :], self.fps, stance)
        velocity = torch.lerp(locked, of_network + residual, belief)
        steps = hold_still(velocity, self.fps, stance) / self.fps
        first = joints[..., :1, 0, :]
        return torch.cat((first, first + steps.cumsum(dim=-2)), dim=-2)

    def save(self, path: str | Path) -> None:
        """Write the prior as safetensors, whole or not at all. The network's weights take 16 bits."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        header = {"schema": SCHEMA, **asdict(self.description)}
        partial = path.with_name(path.name + ".partial")
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        weights = dict(self.denoiser.named_parameters(prefix="denoiser"))
        tensors |= {name: tensor.half() for name, tensor in tensors.items() if name in weights}
        save_file(tensors, partial, metadata={"diffopt": json.dumps(header)})
        # safetensors writes for the owner only; weights are read by whoever runs the package.
        partial.chmod(0o644)
        os.replace(partial, path)


def _unless_slower(
    velocity: Float[Tensor, "B S 3"], than: Float[Tensor, "B S 3"], scale_m_s: float, width: float
) -> Float[Tensor, "B S 1"]:
    """1 where a velocity is as fast over the floor as another, or faster, towards 0 where it is slower by `scale_m_s`.

    Both are averaged under a Gaussian `width` steps wide, and compared along the other.
    """
    everywhere = torch.ones_like(velocity[..., 0])
    gained = weighted_mean(velocity - than, everywhere, width)[..., ::2]
    along = weighted_mean(than, everywhere, width)[..., ::2]
    # A direction below 5 cm/s is none: there, hardly anything can be lost.
    gain = (gained * along).sum(dim=-1, keepdim=True) / along.norm(dim=-1, keepdim=True).clamp_min(0.05)
    return torch.exp(-gain.clamp_max(0).square() / (2 * scale_m_s**2))


def load_prior(path: str | Path = "default") -> MotionPrior | MdmPrior:
    """Read a prior, frozen and in evaluation mode, on the CPU.

    Args:
        path: a `.safetensors` file written by `diffopt train-prior`, `default` for the one that ships, or a published
            MDM checkpoint: its `.pt` file, or the folder with that and `args.json`.

    Raises:
        DiffoptError: nothing there, or no motion prior.
    """
    file = SHIPPED if str(path) == "default" else Path(path)
    if file.is_dir() or file.suffix == ".pt":
        return load_mdm_prior(file)
    if not file.is_file():
        raise DiffoptError(
            f"No motion prior at {file}. Give a .safetensors file, an MDM checkpoint, or `default` for the shipped one."
        )
    try:
        with safe_open(str(file), framework="pt") as content:
            header = (content.metadata() or {}).get("diffopt")
            tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise DiffoptError(f"{file} is no safetensors file: {error}. Train one with `diffopt train-prior`.") from error
    facts = json.loads(header) if header else {}
    if facts.pop("schema", None) != SCHEMA:
        raise DiffoptError(f"{file} holds no motion prior: its header lacks the schema {SCHEMA}. Train one again.")
    prior = MotionPrior(PriorDescription(**{**facts, "size": DenoiserSize(**facts["size"])}))
    try:
        prior.load_state_dict(tensors)
    except RuntimeError as error:
        raise DiffoptError(
            f"{file} was written for other features or another network than this version's ({error}). Train one again."
        ) from error
    return prior.eval().requires_grad_(False)
