"""The project's own pack of motions: many clips in one `.npz`."""

from pathlib import Path

import numpy as np
import roma
import torch

from diffopt.errors import DiffoptError
from diffopt.mocap.clip import MotionClip, kind_of

PACK_KEYS = ("name", "subject", "description", "start", "length", "fps", "rotvec", "trans", "offsets")


def read_pack(path: str | Path) -> list[MotionClip]:
    """All clips of one file of the motion pack: concatenated rows of `rotvec` and `trans`, cut by `start`, `length`."""
    with np.load(path, allow_pickle=False) as pack:
        missing = [key for key in PACK_KEYS if key not in pack.files]
        if missing:
            raise DiffoptError(
                f"{path}: no motion pack, it lacks {', '.join(missing)}. Expected {', '.join(PACK_KEYS)}."
            )
        content = {key: pack[key] for key in PACK_KEYS}
    clips = []
    for index, (start, length) in enumerate(zip(content["start"], content["length"], strict=True)):
        rows = slice(int(start), int(start + length))
        root = torch.from_numpy(content["trans"][rows]).float()
        subject, fps = str(content["subject"][index]), float(content["fps"])
        clips.append(
            MotionClip(
                name=str(content["name"][index]),
                subject=subject,
                kind="idle" if subject.startswith("reactidle") else kind_of(root, fps),
                fps=fps,
                rotations=roma.rotvec_to_rotmat(torch.from_numpy(content["rotvec"][rows]).float()),
                root=root,
                offsets=torch.from_numpy(content["offsets"][index]).float(),
            )
        )
    return clips
