"""Every clip of a file or folder, whatever its format, and the split of clips into training and validation."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from diffopt.errors import DiffoptError
from diffopt.mocap.amass import read_amass
from diffopt.mocap.bvh import read_bvh
from diffopt.mocap.clip import MotionClip, floor_height
from diffopt.mocap.pack import PACK_KEYS, read_pack


def split(
    clips: list[MotionClip], validation: Mapping[str, str], excluded: Mapping[str, str]
) -> tuple[list[MotionClip], list[MotionClip]]:
    """Training and validation clips, by subject.

    Args:
        clips: all of them.
        validation: subjects to validate on, by what they stand for.
        excluded: subjects and clips that are in neither, with the reason.

    Raises:
        DiffoptError: no validation subject is named, or one has no clip.
    """
    held_out = set(validation.values())
    missing = held_out - {clip.subject for clip in clips}
    if not held_out or missing:
        raise DiffoptError(
            f"Validation subjects {sorted(missing) or '(none named)'} are not among the motions. Name subjects of your "
            "data under `validation`, e.g. validation.walker=cmu007."
        )
    known = [clip for clip in clips if not excluded.keys() & {clip.subject, clip.name}]
    return [clip for clip in known if clip.subject not in held_out], [c for c in known if c.subject in held_out]


def read_motions(path: str | Path) -> list[MotionClip]:
    """Every clip of a file, or of all `.npz` and `.bvh` of a folder (with its subfolders), whichever reader fits each.

    BVH clips are put on the floor. AMASS files are posed on the average of the pack's own skeletons, because the body
    they were fitted to is licensed; `read_amass` takes another skeleton.
    """
    path = Path(path)
    if not path.exists():
        raise DiffoptError(f"{path}: no such file or folder; expected motions; check the path.")
    files = sorted([*path.rglob("*.npz"), *path.rglob("*.bvh")]) if path.is_dir() else [path]
    clips: list[MotionClip] = []
    for file in files:
        if file.suffix.lower() == ".bvh":
            clip = read_bvh(file)
            down = torch.tensor([0.0, floor_height(clip.joints()), 0.0])
            clips.append(replace(clip, root=clip.root - down))
            continue
        with np.load(file, allow_pickle=False) as content:
            keys = set(content.files)
        if set(PACK_KEYS) <= keys:
            clips += read_pack(file)
        elif {"poses", "trans"} <= keys:
            clips.append(read_amass(file))
    if not clips:
        raise DiffoptError(
            f"{path}: no motion found. Expected .npz files of the project's pack (keys {', '.join(PACK_KEYS)}) "
            "or of AMASS (keys poses, trans, mocap_framerate), or .bvh files."
        )
    return clips
