"""A motion that needs no file."""

import roma
import torch

from diffopt.mocap.clip import AVERAGE_OFFSETS, pose

FPS = 20.0


def random_motion(frames: int = 30, seed: int = 0, dtype=torch.float64):
    """Smooth random joint angles on a path that curves; upright within 30 degrees or so."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(frames, dtype=dtype)[:, None, None] / FPS
    swing = torch.randn(2, 22, 3, generator=generator, dtype=dtype) * 0.3
    rotations = roma.rotvec_to_rotmat(swing[0] * torch.sin(2 * time + swing[1] * 9))
    turn = torch.zeros(frames, 3, dtype=dtype)
    turn[:, 1] = 2.5 + 1.5 * time[:, 0, 0]
    rotations[:, 0] = roma.rotvec_to_rotmat(turn) @ rotations[:, 0]
    root = torch.stack((torch.sin(time), 0.95 + 0.03 * torch.cos(5 * time), 1.3 * time), dim=-1)[:, 0, 0]
    return rotations, root, pose(rotations, root, AVERAGE_OFFSETS.to(dtype))
