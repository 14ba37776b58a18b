"""What the motion prior is held against: velocities regressed on the feet, linearly and by a small network."""

from collections.abc import Callable

import torch
from einops import rearrange
from torch import Tensor, nn

from diffopt.geometry.alignment import heading_rotation
from diffopt.mocap.clip import AVERAGE_OFFSETS, MotionClip
from diffopt.mocap.retargeting import Windows
from diffopt.motion.foot_contact import TOES
from diffopt.prior import features as smpl_features
from diffopt.prior.features import SLICES, features_from_motion
from diffopt.training.windows import MotionWindows, WindowKinds, WindowRecipe

FPS = 20.0
FEET = (7, 8, 10, 11)
REACH = 3
"""Steps before and after that the linear regression looks at."""


def training_windows(clips: list[MotionClip]) -> MotionWindows:
    return MotionWindows(clips, WindowRecipe(fps=FPS, kinds=WindowKinds(idle=0.1)), AVERAGE_OFFSETS, None, 1)


def feet(features: Tensor) -> Tensor:
    """Positions and velocities of ankles and toes relative to the root, heading frame, (B, S, 24)."""
    both = [features[..., SLICES[name]] for name in ("positions", "velocities")]
    joints = rearrange(both, "what ... (joint xyz) -> what ... joint xyz", xyz=3)
    return rearrange(joints[..., [foot - 1 for foot in FEET], :], "what ... foot xyz -> ... (foot what xyz)")


def in_world(predict: Callable[[Tensor], Tensor]) -> Callable[[Windows], Tensor]:
    """A function from features to velocities in the heading frame, as one from windows to velocities in the world."""

    def velocity(seen: Windows) -> Tensor:
        features = features_from_motion(seen.rotations, seen.joints(), FPS)
        return (heading_rotation(seen.rotations[:, :-1, 0]) @ predict(features)[..., None]).squeeze(-1)

    return velocity


def fit_regression(clips: list[MotionClip], batches: int = 40, ridge: float = 10.0) -> Callable[[Windows], Tensor]:
    """Ridge regression of the root's velocity on the feet of 2 * REACH + 1 steps."""

    def design(features: Tensor) -> Tensor:
        inputs = feet(features)
        padded = torch.cat((inputs[:, :1].expand(-1, REACH, -1), inputs, inputs[:, -1:].expand(-1, REACH, -1)), dim=1)
        near = padded.unfold(1, 2 * REACH + 1, 1).flatten(-2)
        return torch.cat((near, torch.ones_like(near[..., :1])), dim=-1)

    windows, generator = training_windows(clips), torch.Generator().manual_seed(1)
    rows, targets = [], []
    for _ in range(batches):
        clean, seen, valid, *_ = windows.draw(generator)
        rows.append(design(seen)[valid])
        targets.append(smpl_features.root_velocity(clean)[valid])
    inputs, target = torch.cat(rows).double(), torch.cat(targets).double()
    gram = inputs.T @ inputs + ridge * torch.eye(inputs.shape[1], dtype=torch.float64)
    weights = torch.linalg.solve(gram, inputs.T @ target).float()
    return in_world(lambda features: design(features) @ weights)


def fit_temporal_network(clips: list[MotionClip], steps: int) -> Callable[[Windows], Tensor]:
    """A temporal convolutional network from the articulation to the root's velocity, reaching 0.75 s either way."""
    torch.manual_seed(0)
    size = smpl_features.ARTICULATION.stop - smpl_features.ARTICULATION.start
    layers: list[nn.Module] = [nn.BatchNorm1d(size), nn.Conv1d(size, 128, 1)]
    for dilation in (1, 2, 4, 8):
        layers += [nn.GELU(), nn.Dropout(0.1), nn.Conv1d(128, 128, 3, padding=dilation, dilation=dilation)]
    network = nn.Sequential(*layers, nn.GELU(), nn.Conv1d(128, 3, 1))
    windows, generator = training_windows(clips), torch.Generator().manual_seed(2)
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with torch.enable_grad():
        for _ in range(steps):
            clean, seen, valid, *_ = windows.draw(generator)
            predicted = network(seen[..., smpl_features.ARTICULATION].mT).mT
            error = (predicted - smpl_features.root_velocity(clean)) * valid[..., None]
            moved = error.cumsum(dim=1)[:, 12:] - error.cumsum(dim=1)[:, :-12]
            loss = error.square().mean() + (moved / 12).square().mean() if moved.numel() else error.square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay.step()
    network.eval()
    return in_world(lambda features: network(features[..., smpl_features.ARTICULATION].mT).mT)


def fitted_scale(true_velocity: Tensor, velocity: Tensor) -> Tensor:
    """Factor that brings each window's true planar velocities nearest to the ones found, (B,), at least 0.01."""
    truth, found = true_velocity[..., [0, 2]], velocity[..., [0, 2]]
    return ((truth * found).sum(dim=(1, 2)) / truth.square().sum(dim=(1, 2))).clamp(min=0.01)


def least_sliding_scale(true_velocity: Tensor, relative: Tensor, slip_m_s: float = 0.25) -> Tensor:
    """Factor under which the slower toe of each step stands most often, (B,): sliding alone, no model of gait.

    Geman-McClure on the slower toe's planar speed, searched from a third to three times.
    """
    toes = FPS * torch.diff(relative[:, :, TOES], dim=1)[..., [0, 2]]
    scales = torch.linspace(-1.1, 1.1, 221).exp()
    costs = []
    for scale in scales:
        speed2 = (toes + scale * true_velocity[..., None, [0, 2]]).square().sum(dim=-1).amin(dim=-1)
        costs.append((speed2 / (speed2 + slip_m_s**2)).mean(dim=1))
    return scales[torch.stack(costs).argmin(dim=0)]
