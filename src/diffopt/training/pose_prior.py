"""Training of the pose prior: `diffopt train-pose-prior data=FOLDER out=FILE`.

On one core a few minutes; nothing is kept of a run that was stopped.
"""

from dataclasses import dataclass, field
from pathlib import Path

import roma
import torch
from jaxtyping import Float
from rich.progress import track
from torch import Tensor

from diffopt.errors import DiffoptError
from diffopt.mocap.clip import MotionClip
from diffopt.mocap.reading import read_motions, split
from diffopt.mocap.retargeting import MIRROR
from diffopt.prior.pose_prior import PosePrior


@dataclass
class PosePriorTraining:
    """Everything that decides a training of the pose prior."""

    data: str = "mocap"
    """File or folder with motions: the project's pack, AMASS or BVH."""
    out: str = "pose_prior.safetensors"
    """The file to write."""
    validation: dict[str, str] = field(default_factory=dict)
    """Subjects kept out of training, by what they stand for; how well they are known is said at the end."""
    excluded: dict[str, str] = field(default_factory=dict)
    """Subjects and clips that are left out altogether, each with the reason."""
    width: int = 256
    latent: int = 32
    steps: int = 3000
    batch_size: int = 512
    learning_rate: float = 2e-3
    divergence_weight: float = 0.003
    """Weight of the divergence of the codes from standard normal, nats, against square radians summed over joints."""
    rest_deg: float = 4.0
    """Random turn of each joint, standard deviation: skeletons differ in what they call the rest pose."""
    idle_share: float = 0.15
    """Part of the poses that are of people who stand about."""
    seed: int = 0
    threads: int = 1
    """CPU threads of torch; 0 leaves its default."""


def train(training: PosePriorTraining) -> tuple[Path, float]:
    """Train a pose prior on a folder of motions and write it.

    Returns:
        The file, and how far poses of the validation subjects who do not stand idle come back from their codes: mean
        over joints, degrees.

    Raises:
        DiffoptError: the file exists, or the data lack motions or the validation subjects.
    """
    path = Path(training.out)
    if path.exists():
        raise DiffoptError(f"{path}: exists already; a pose prior is never overwritten. Choose another `out=`.")
    if path.suffix != ".safetensors":
        raise DiffoptError(f"out={path}: a pose prior is one .safetensors file; end the name in .safetensors.")
    if training.threads:
        torch.set_num_threads(training.threads)
    known, held_out = split(read_motions(training.data), training.validation, training.excluded)
    prior = train_pose_prior(known, training)
    moving = [clip for clip in held_out if clip.kind != "idle"] or held_out
    poses = torch.cat([clip.rotations[:, 1:] for clip in moving])
    back = prior.decode(prior.encode(poses)[0])
    prior.save(path)
    return path, torch.rad2deg(roma.rotmat_geodesic_distance(back, poses)).mean().item()


def train_pose_prior(clips: list[MotionClip], training: PosePriorTraining) -> PosePrior:
    """Train a pose prior on the poses of clips; which subjects these may be is for the caller to see to.

    Args:
        clips: motion capture; each mirrored too.
        training: how.

    Returns:
        The prior, frozen and in evaluation mode.
    """
    poses = torch.cat([clip.rotations[:, 1:] for clip in clips])
    idle = torch.cat([torch.full((len(clip.rotations),), clip.kind == "idle") for clip in clips])
    share = training.idle_share if idle.any() and not idle.all() else float(idle.float().mean())
    weights = torch.where(idle, share / idle.sum().clamp_min(1), (1 - share) / (~idle).sum().clamp_min(1))
    generator = torch.Generator().manual_seed(training.seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed)
        prior = PosePrior(training.width, training.latent)
        optimizer = torch.optim.Adam(prior.parameters(), lr=training.learning_rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.steps)
        for _ in track(range(training.steps), "Training the pose prior"):
            rows = torch.multinomial(weights, training.batch_size, replacement=True, generator=generator)
            batch = _varied(poses[rows], training.rest_deg, generator)
            optimizer.zero_grad()
            pose_prior_objective(prior, batch, training.divergence_weight, generator).backward()
            optimizer.step()
            schedule.step()
    return prior.eval().requires_grad_(False)


def pose_prior_objective(
    prior: PosePrior, body_pose: Float[Tensor, "B 21 3 3"], divergence_weight: float, generator: torch.Generator
) -> Float[Tensor, ""]:
    """Evidence lower bound (Kingma and Welling, 2014), negative: how far poses come back, and how far codes are off.

    The distance of two rotations is half their squared Frobenius distance, square radians when small.
    """
    mean, deviation = prior.encode(body_pose)
    noise = torch.randn(mean.shape, generator=generator).to(mean)
    error = 0.5 * (prior.decode(mean + deviation * noise) - body_pose).square().sum(dim=(-3, -2, -1))
    divergence = 0.5 * (mean.square() + deviation.square() - 1).sum(dim=-1) - deviation.log().sum(dim=-1)
    return (error + divergence_weight * divergence).mean()


def _varied(
    body_pose: Float[Tensor, "B 21 3 3"], rest_deg: float, generator: torch.Generator
) -> Float[Tensor, "B 21 3 3"]:
    """Half of the poses mirrored, all joints turned a little."""
    across = torch.diag(torch.tensor([-1.0, 1.0, 1.0]))
    other_side = [joint - 1 for joint in MIRROR[1:]]
    mirrored = across @ body_pose[:, other_side] @ across
    chosen = torch.rand(len(body_pose), 1, 1, 1, generator=generator) < 0.5
    turn = torch.deg2rad(torch.tensor(rest_deg)) * torch.randn(*body_pose.shape[:2], 3, generator=generator)
    return torch.where(chosen, mirrored, body_pose) @ roma.rotvec_to_rotmat(turn)
