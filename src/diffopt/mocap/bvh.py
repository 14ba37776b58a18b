"""Biovision hierarchies (.bvh): any channel order, unit and naming, on the 22 joints of the body.

Orientations are kept as in the file, positions too where the file has no further joint in between; what rotations
count from becomes the T-pose facing +z.
"""

from pathlib import Path

import numpy as np
import torch

from diffopt.body.skeleton import BODY_JOINTS, PARENTS
from diffopt.mocap.bvh_file import parse, pose_file
from diffopt.mocap.clip import AVERAGE_OFFSETS, MotionClip, kind_of
from diffopt.mocap.skeleton_matching import axes_at_rest, match_names, places_at_rest, turns_at_rest, unit_of_length


def read_bvh(path: str | Path) -> MotionClip:
    """One BVH take, in metres and y up, heights as in the file; its subject is the name of its folder.

    The proportions of an average adult (`AVERAGE_OFFSETS`) place joints that the file lacks.

    Raises:
        DiffoptError: not a complete BVH file, no human skeleton by its names, or no plausible unit of length.
    """
    path = Path(path)
    average = AVERAGE_OFFSETS.numpy()
    joints, fps, rows = parse(path)
    names = match_names(path, joints)
    world, positions = pose_file(joints, rows)
    rest = np.zeros((len(joints), 3))
    for index, joint in enumerate(joints):
        rest[index] = np.array(joint.offset) + (rest[joint.parent] if joint.parent >= 0 else 0.0)

    unit = unit_of_length(path, rest, names)
    axes = axes_at_rest(rest, names)
    places = places_at_rest(rest * unit @ axes.T, names, average)
    turns = turns_at_rest(places, names, average)
    turned = axes @ world @ axes.T
    whole, local = np.empty((2, len(rows), BODY_JOINTS, 3, 3))
    offsets = np.zeros((BODY_JOINTS, 3))
    for number in range(BODY_JOINTS):
        parent = max(PARENTS[number], 0)
        # A joint that the file lacks goes with the one above it.
        whole[:, number] = turned[:, names[number]] @ turns[number] if number in names else whole[:, parent]
        local[:, number] = whole[:, parent].transpose(0, 2, 1) @ whole[:, number] if number else whole[:, 0]
        # Turned back by what the parent's rotation was turned on, so that positions stay whatever the rest pose.
        offsets[number] = turns[parent].T @ (places[number] - places[parent])
    root = torch.from_numpy(positions[:, names[0]] * unit @ axes.T).float()
    return MotionClip(
        name=path.stem,
        subject=path.parent.name,
        kind=kind_of(root, fps),
        fps=fps,
        rotations=torch.from_numpy(local).float(),
        root=root,
        offsets=torch.from_numpy(offsets).float(),
    )
