"""Reader of Biovision hierarchies (.bvh): any channel order, unit and naming, on the 22 joints of the body.

Joints are known by the names of SMPL, Mixamo, CMU, Biovision, Poser and Unity; the spine by its place below the neck.
Orientations are kept as in the file, positions too where the file has no further joint in between; what rotations
count from becomes the T-pose facing +z.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX, JOINT_NAMES, PARENTS
from diffopt.errors import DiffoptError

UNITS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254, "CMU's 1/0.45 inch": 0.0254 / 0.45}
USUAL_LEG_M, SHORTEST_LEG_M, LONGEST_LEG_M = 0.82, 0.45, 1.15
"""Hip to ankle along the bones; by it the unit is told, which the format does not say."""
OTHER_REST_DEG = 20.0
"""A limb that is further than this from the T-pose in the file's rest pose has its rotations counted anew; below, the
difference is one of people."""
_LIMBS = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_NAMINGS: dict[str, tuple[str, ...]] = {
    "SMPL or Biovision": ("hip", "knee", "ankle", "foot toe", "collar", "shoulder", "elbow", "wrist"),
    "Mixamo or CMU": ("upleg", "leg", "foot", "toebase toe", "shoulder", "arm", "forearm", "hand"),
    "Poser": ("thigh", "shin", "foot", "toe", "collar", "shldr", "forearm", "hand"),
    "Unity": ("upperleg", "lowerleg", "foot", "toes", "shoulder", "upperarm", "lowerarm", "hand"),
}
_REQUIRED = tuple(
    f"{side}_{limb}" for side in ("left", "right") for limb in ("hip", "knee", "ankle", "shoulder", "elbow")
)


@dataclass
class Joint:
    """One joint of a file as it stands there."""

    name: str
    parent: int
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channels: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class BvhMotion:
    """A motion on the body's joints: y up, metres, T-pose facing +z, heights as in the file.

    Attributes:
        fps: frames per second.
        rotations: (T, 22, 3, 3) relative to the parent, index 0 the root's relative to the world.
        root: (T, 3) the pelvis joint.
        offsets: (22, 3) each joint from its parent in the T-pose; row 0 is zero.
    """

    fps: float
    rotations: Float[ndarray, "T 22 3 3"]
    root: Float[ndarray, "T 3"]
    offsets: Float[ndarray, "22 3"]


def read_bvh(path: str | Path, average: Float[ndarray, "22 3"]) -> BvhMotion:
    """Read a file and put its motion on the body's joints.

    Args:
        path: the `.bvh`.
        average: rest skeleton of an average adult, metres; its proportions place joints that the file lacks.

    Raises:
        DiffoptError: not a complete BVH file, no human skeleton by its names, or no plausible unit of length.
    """
    path = Path(path)
    joints, fps, rows = parse(path)
    names = match_names(path, joints)
    world, positions = _pose_file(joints, rows)
    rest = np.zeros((len(joints), 3))
    for index, joint in enumerate(joints):
        rest[index] = np.array(joint.offset) + (rest[joint.parent] if joint.parent >= 0 else 0.0)

    unit = _unit(path, rest, names)
    axes = _axes(rest, names)
    places = _places(rest * unit @ axes.T, names, average)
    turns = _turns(places, names, average)
    turned = axes @ world @ axes.T
    whole, local = np.empty((2, len(rows), BODY_JOINTS, 3, 3))
    offsets = np.zeros((BODY_JOINTS, 3))
    for joint in range(BODY_JOINTS):
        parent = max(PARENTS[joint], 0)
        # A joint that the file lacks goes with the one above it.
        whole[:, joint] = turned[:, names[joint]] @ turns[joint] if joint in names else whole[:, parent]
        local[:, joint] = whole[:, parent].transpose(0, 2, 1) @ whole[:, joint] if joint else whole[:, 0]
        # Turned back by what the parent's rotation was turned on, so that positions stay whatever the rest pose.
        offsets[joint] = turns[parent].T @ (places[joint] - places[parent])
    return BvhMotion(fps, local, positions[:, names[0]] * unit @ axes.T, offsets)


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


def match_names(path: Path, joints: list[Joint]) -> dict[int, int]:
    """For each joint of the body that the file has, the number of it in the file."""
    plain = [re.sub(r"[^a-z0-9]", "", joint.name.split(":")[-1].lower()) for joint in joints]
    center = {"pelvis": ("pelvis", "hips", "hip"), "neck": ("neck",), "head": ("head",)}
    found = {joint: next((plain.index(n) for n in names if n in plain), -1) for joint, names in center.items()}
    limbs: dict[str, int] = {}
    for naming in _NAMINGS.values():
        tried = {}
        for side in ("left", "right"):
            for limb, names in zip(_LIMBS, naming, strict=True):
                written = [w for s in (side, side[0]) for name in names.split() for w in (s + name, name + s)]
                tried[f"{side}_{limb}"] = next((plain.index(w) for w in written if w in plain), -1)
        if sum(index >= 0 for index in tried.values()) > sum(index >= 0 for index in limbs.values()):
            limbs = tried
    known = {joint: index for joint, index in (found | limbs).items() if index >= 0}
    missing = [joint for joint in ("pelvis", "head", *_REQUIRED) if joint not in known]
    if missing:
        raise DiffoptError(
            f"{path}: no body by its joints' names, there is no {', '.join(missing)} among "
            f"{', '.join(joint.name for joint in joints[:12])} …. Rename the joints as Mixamo, CMU or SMPL do."
        )
    spine = _spine(joints, known)
    if len(spine) > 3:
        spine = [spine[0], spine[len(spine) // 2], spine[-1]]
    known |= {f"spine{number}": index for number, index in enumerate(spine, start=1)}
    return {JOINT_INDEX[joint]: index for joint, index in known.items()}


def _spine(joints: list[Joint], known: dict[str, int]) -> list[int]:
    """Joints between pelvis and neck, or where the arms branch off if there is no neck, from below."""
    chain, index = [], joints[known.get("neck", known["head"])].parent
    while index >= 0 and index != known["pelvis"]:
        chain.append(index)
        index = joints[index].parent
    return chain[::-1]


def _pose_file(
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


def _unit(path: Path, rest: Float[ndarray, "N 3"], names: dict[int, int]) -> float:
    """Metres per unit of length, such that the legs have a person's length."""
    hip, knee, ankle = (rest[names[JOINT_INDEX[f"left_{part}"]]] for part in ("hip", "knee", "ankle"))
    leg = float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))
    fitting = [unit for unit in UNITS_M.values() if SHORTEST_LEG_M <= leg * unit <= LONGEST_LEG_M]
    if not fitting:
        raise DiffoptError(
            f"{path}: the left leg measures {leg:.3g} units, a person's in none of {', '.join(UNITS_M)}. "
            "Scale the file to centimetres."
        )
    return min(fitting, key=lambda unit: abs(np.log(leg * unit / USUAL_LEG_M)))


def _axes(rest: Float[ndarray, "N 3"], names: dict[int, int]) -> Float[ndarray, "3 3"]:
    """Rotation of the file's axes onto y up, facing +z: by whole right angles, read from the rest pose."""
    left, right, head, pelvis = (rest[names[JOINT_INDEX[name]]] for name in ("left_hip", "right_hip", "head", "pelvis"))
    x = np.eye(3)[np.abs(left - right).argmax()] * np.sign((left - right)[np.abs(left - right).argmax()])
    up = (head - pelvis) * (x == 0)
    y = np.eye(3)[np.abs(up).argmax()] * np.sign(up[np.abs(up).argmax()])
    return np.stack((x, y, np.cross(x, y)))


def _places(
    rest: Float[ndarray, "N 3"], names: dict[int, int], average: Float[ndarray, "22 3"]
) -> Float[ndarray, "22 3"]:
    """Where the body's joints are in the file's rest pose; what the file lacks is put where an average body has it."""
    places = np.full((BODY_JOINTS, 3), np.nan)
    places[list(names)] = rest[list(names.values())]
    leg = [JOINT_INDEX["left_knee"], JOINT_INDEX["left_ankle"]]
    lengths = np.linalg.norm(average, axis=1)
    size = np.linalg.norm(places[leg] - places[[PARENTS[joint] for joint in leg]], axis=1).sum() / lengths[leg].sum()
    for joint in range(1, BODY_JOINTS):
        if joint in names:
            continue
        parent, chain = PARENTS[joint], _chain_below(joint, names)
        if chain:
            share = lengths[joint] / lengths[[joint, *chain]].sum()
            places[joint] = places[parent] + share * (places[chain[-1]] - places[parent])
        else:
            # A hand goes on as the forearm does, a toe points ahead.
            forearm = "wrist" in JOINT_NAMES[joint]
            direction = places[parent] - places[PARENTS[parent]] if forearm else average[joint]
            places[joint] = places[parent] + size * lengths[joint] * direction / np.linalg.norm(direction)
    return places


def _chain_below(joint: int, names: dict[int, int]) -> list[int]:
    """From the joint's child down to the first joint that the file has; the way to the neck where ways part."""
    chain = [joint]
    while chain[-1] not in names:
        children = [other for other in range(BODY_JOINTS) if PARENTS[other] == chain[-1]]
        if not children:
            return []
        chain.append(children[0])
    return chain[1:]


def _turns(
    places: Float[ndarray, "22 3"], names: dict[int, int], average: Float[ndarray, "22 3"]
) -> Float[ndarray, "22 3 3"]:
    """For each joint the rotation from the T-pose to the file's rest pose, none for joints that nearly agree."""
    turns = np.tile(np.eye(3), (BODY_JOINTS, 1, 1))
    for joint in range(1, BODY_JOINTS):
        name = JOINT_NAMES[joint]
        if joint not in names or "wrist" in name:
            turns[joint] = turns[PARENTS[joint]]
        elif any(part in name for part in ("hip", "knee", "shoulder", "elbow")):
            child = PARENTS.index(joint)
            turn = Rotation.align_vectors(places[child] - places[joint], average[child])[0]
            if np.degrees(turn.magnitude()) > OTHER_REST_DEG:
                turns[joint] = turn.as_matrix()
    return turns
