"""Readers of motion capture: the project's own pack, AMASS and BVH. Every clip comes out in one form, a `MotionClip`.

World: y up, metres, floor y = 0. A body in its rest pose faces +z with its left towards +x.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.skeleton import BODY_JOINTS, JOINT_INDEX, forward_kinematics
from diffopt.errors import DiffoptError
from diffopt.mocap import bvh_motion

PACK_KEYS = ("name", "subject", "description", "start", "length", "fps", "rotvec", "trans", "offsets")
STILL_SPEED, RUN_SPEED = 0.35, 2.0
"""Mean planar speeds of the root, metres per second: below the one an activity on the spot, above the other a run."""
FLOOR_PERCENTILE, TOE_HEIGHT = 0.05, 0.02
"""A clip stands on the floor when this fraction of its frames has the lower toe joint below this height, metres."""
AVERAGE_OFFSETS = torch.tensor([
    [0.0, 0.0, 0.0], [0.083, -0.087, -0.019], [-0.083, -0.087, -0.019], [0.0, 0.076, -0.047], [0.0, -0.396, 0.003],
    [0.0, -0.396, 0.003], [0.0, 0.065, -0.005], [-0.003, -0.439, -0.022], [0.003, -0.439, -0.022], [0.0, 0.093, -0.002],
    [0.005, -0.032, 0.127], [-0.005, -0.032, 0.127], [0.0, 0.162, -0.009], [0.055, 0.158, -0.025],
    [-0.055, 0.158, -0.025], [0.0, 0.086, -0.005], [0.102, 0.023, 0.0], [-0.102, 0.023, 0.0], [0.288, -0.007, 0.002],
    [-0.288, -0.007, 0.002], [0.213, 0.0, 0.0], [-0.213, 0.0, 0.0],
])  # fmt: skip
"""Rest skeleton of an average adult of the pack, metres."""


@dataclass(frozen=True)
class MotionClip:
    """One person's motion on the 22 joints that SMPL, SMPL-H and SMPL-X share.

    Attributes:
        name, subject: the take, and who moves; subjects are what training and validation are split by.
        kind: `idle`, `activity`, `locomotion` or `run`: training draws windows by it.
        fps: frames per second.
        rotations: (T, 22, 3, 3) each joint's rotation relative to its parent, index 0 the root's relative to the world.
        root: (T, 3) position of the pelvis joint, world metres.
        offsets: (22, 3) each joint from its parent in the rest pose, metres; row 0 is zero.
    """

    name: str
    subject: str
    kind: str
    fps: float
    rotations: Float[Tensor, "T 22 3 3"]
    root: Float[Tensor, "T 3"]
    offsets: Float[Tensor, "22 3"]

    @property
    def seconds(self) -> float:
        return len(self.root) / self.fps

    def joints(self) -> Float[Tensor, "T 22 3"]:
        """World positions of the joints, metres."""
        return pose(self.rotations, self.root, self.offsets)


def pose(
    rotations: Float[Tensor, "*T 22 3 3"], root: Float[Tensor, "*T 3"], offsets: Float[Tensor, "*#T 22 3"]
) -> Float[Tensor, "*T 22 3"]:
    """Joint positions of a skeleton whose pelvis joint is at `root`, metres."""
    bones = offsets[..., 1:, :].expand(*root.shape[:-1], BODY_JOINTS - 1, 3)
    return forward_kinematics(rotations, torch.cat((root[..., None, :], bones), dim=-2))[1]


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


def read_amass(path: str | Path, offsets: Float[Tensor, "J 3"] | None = None) -> MotionClip:
    """One AMASS take (SMPL-H or SMPL-X layout: `poses` (T, 3J) axis-angle, `trans` (T, 3), z up).

    Args:
        path: the `.npz`; subject and name are taken from its folder and its stem, as AMASS lays them out.
        offsets: rest skeleton with the rest pelvis position in row 0, metres (`BodyModel.skeleton`); without it the
            average adult of `AVERAGE_OFFSETS`, whose bones differ from the take's own by some per cent.
    """
    path = Path(path)
    with np.load(path, allow_pickle=False) as take:
        rates = [key for key in ("mocap_framerate", "mocap_frame_rate") if key in take.files]
        if "poses" not in take.files or "trans" not in take.files or not rates:
            raise DiffoptError(
                f"{path}: no AMASS motion, its keys are {take.files}. Expected poses, trans, mocap_framerate."
            )
        poses, trans, fps = take["poses"], take["trans"], float(take[rates[0]])
    skeleton = AVERAGE_OFFSETS if offsets is None else offsets[:BODY_JOINTS].float()
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(poses[:, : 3 * BODY_JOINTS]).float().reshape(-1, BODY_JOINTS, 3))
    z_up_to_y_up = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    rotations[:, 0] = z_up_to_y_up @ rotations[:, 0]
    # smplx's trans is added to the rest pelvis, which the root's rotation does not move.
    root = (skeleton[0] + torch.from_numpy(trans).float()) @ z_up_to_y_up.T
    bones = torch.cat((torch.zeros(1, 3), skeleton[1:]))
    root[:, 1] -= floor_height(pose(rotations, root, bones))
    return MotionClip(path.stem, path.parent.name, kind_of(root, fps), fps, rotations, root, bones)


def read_bvh(path: str | Path) -> MotionClip:
    """One BVH take, in metres and y up, heights as in the file; its subject is the name of its folder."""
    path = Path(path)
    motion = bvh_motion.read_bvh(path, AVERAGE_OFFSETS.numpy())
    rotations, root, offsets = (
        torch.from_numpy(values).float() for values in (motion.rotations, motion.root, motion.offsets)
    )
    kind = kind_of(root, motion.fps)
    return MotionClip(path.stem, path.parent.name, kind, motion.fps, rotations, root, offsets)


def kind_of(root: Float[Tensor, "T 3"], fps: float) -> str:
    """`activity`, `locomotion` or `run`, by the mean planar speed of the root over half-second steps."""
    step = min(max(1, round(fps / 2)), len(root) - 1)
    if step < 1:
        return "activity"
    speed = float((root[step:, [0, 2]] - root[:-step, [0, 2]]).norm(dim=-1).mean()) * fps / step
    return "run" if speed > RUN_SPEED else "locomotion" if speed > STILL_SPEED else "activity"


def floor_height(joints: Float[Tensor, "T 22 3"]) -> float:
    """Height of the floor under a clip, metres: a low percentile of the lower toe less the height of a standing toe."""
    toes = joints[:, [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]], 1]
    return float(toes.amin(dim=1).quantile(FLOOR_PERCENTILE)) - TOE_HEIGHT
