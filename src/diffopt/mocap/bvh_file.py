"""What a .bvh file says: its hierarchy and its rows of channel values, posed in the file's own axes and unit."""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.errors import DiffoptError


@dataclass
class Joint:
    """One joint of a file as it stands there."""

    name: str
    parent: int
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channels: list[str] = field(default_factory=list)


def parse(path: Path) -> tuple[list[Joint], float, Float[ndarray, "T C"]]:
    """Hierarchy, frames per second and rows of channel values of a file, in its own units."""
    text = path.read_text(encoding="utf-8", errors="replace")
    parts = re.split(r"^\s*MOTION\s*$", text, maxsplit=1, flags=re.MULTILINE)
    motion = re.match(r"\s*Frames:\s*(\d+)\s+Frame Time:\s*(\S+)", parts[-1])
    if len(parts) != 2 or motion is None or "HIERARCHY" not in parts[0]:
        raise DiffoptError(
            f"{path}: no BVH motion. Expected HIERARCHY, MOTION, Frames and Frame Time; export it again."
        )
    joints = _parse_hierarchy(path, parts[0].split("HIERARCHY", 1)[1].split())
    columns = sum(len(joint.channels) for joint in joints)
    try:
        numbers = np.array(parts[1][motion.end() :].split(), dtype=np.float64)
        frames, seconds = int(motion[1]), float(motion[2])
    except ValueError as error:
        raise DiffoptError(
            f"{path}: the motion holds something that is no number ({error}). Export it again."
        ) from None
    if frames < 1 or seconds <= 0 or len(numbers) != frames * columns or not np.isfinite(numbers).all():
        raise DiffoptError(
            f"{path}: {len(numbers)} values for {frames} frames of {columns} channels, {seconds} s a frame. Expected "
            f"{frames * columns} finite values and a positive time; the file is cut off or damaged, export it again."
        )
    return joints, 1 / seconds, numbers.reshape(frames, columns)


def _parse_hierarchy(path: Path, words: list[str]) -> list[Joint]:
    joints: list[Joint] = []
    stack: list[int | None] = []  # None stands for an end site
    opened: int | None = None
    read = iter(words)
    try:
        for word in read:
            above = next((index for index in reversed(stack) if index is not None), -1)
            if word in ("ROOT", "JOINT"):
                joints.append(Joint(next(read), above))
                opened = len(joints) - 1
            elif word == "End":
                next(read)
                opened = None
            elif word == "{":
                stack.append(opened)
            elif word == "}":
                stack.pop()
            elif word == "OFFSET":
                offset = (float(next(read)), float(next(read)), float(next(read)))
                if stack[-1] is not None:
                    joints[stack[-1]].offset = offset
            elif word == "CHANNELS":
                joints[above].channels = [next(read) for _ in range(int(next(read)))]
            elif joints:
                # A name with spaces goes on.
                joints[-1].name += word
        if not joints or stack:
            raise ValueError("it does not close")
    except (StopIteration, ValueError, IndexError) as error:
        raise DiffoptError(f"{path}: the hierarchy breaks off or is damaged ({error}). Export it again.") from None
    unknown = {c for joint in joints for c in joint.channels if not re.fullmatch(r"[XYZ](rotation|position)", c)}
    if unknown:
        raise DiffoptError(f"{path}: unknown channels {sorted(unknown)}. Expected Xposition, Zrotation and the like.")
    return joints


def pose_file(
    joints: list[Joint], rows: Float[ndarray, "T C"]
) -> tuple[Float[ndarray, "T N 3 3"], Float[ndarray, "T N 3"]]:
    """Orientation and position of all joints of the file, by its own axes and unit."""
    world = np.empty((len(rows), len(joints), 3, 3))
    positions = np.empty((len(rows), len(joints), 3))
    column = 0
    for index, joint in enumerate(joints):
        place = np.tile(np.array(joint.offset), (len(rows), 1))
        order, angles = "", []
        for number, channel in enumerate(joint.channels, start=column):
            if channel.endswith("position"):
                # Position channels stand for the offset, they are not added to it.
                place[:, "XYZ".index(channel[0])] = rows[:, number]
            else:
                order += channel[0]
                angles.append(rows[:, number])
        column += len(joint.channels)
        turn = np.tile(np.eye(3), (len(rows), 1, 1))
        if order:
            turn = Rotation.from_euler(order, np.stack(angles, axis=1), degrees=True).as_matrix()
        above = world[:, joint.parent] if joint.parent >= 0 else np.eye(3)
        world[:, index] = above @ turn
        positions[:, index] = (above @ place[..., None])[..., 0]
        if joint.parent >= 0:
            positions[:, index] += positions[:, joint.parent]
    return world, positions
