"""A walk out of formulas: a motion with exact foot contacts for tests and examples, on any body, without any data."""

import math
from typing import NamedTuple

import numpy as np
import roma
import torch
from jaxtyping import Float
from torch import Tensor

from diffopt.body.model import BodyModel
from diffopt.body.skeleton import JOINT_INDEX

_STANCE = 0.62
"""Part of the gait cycle in which a foot stands (Perry, Gait Analysis, 1992)."""
_HEEL_OFF = 0.45
"""Part of the stance after which the heel rises."""
_PUSH_OFF_RAD = 1.0
_TOES_UP_RAD = 0.2
_CLEARANCE_M = 0.06
_STEP_PER_LEG = 0.62
"""Length of a step over length of the leg."""
_STRETCH = 0.985
"""How far the leg is stretched at most."""
_BOB_M = 0.02
_DOUBLE = torch.float64


class _Course(NamedTuple):
    """Where the walker is headed: an arc at constant speed."""

    speed: float
    heading: float
    turn: float

    def yaw(self, seconds: Float[Tensor, "T"]) -> Float[Tensor, "T"]:
        return self.heading + self.turn * seconds

    def place(self, seconds: Float[Tensor, "T"]) -> Float[Tensor, "T 3"]:
        # The chord of the arc: sinc keeps it exact for a straight course too.
        chord = self.speed * seconds * torch.sinc(self.turn * seconds / (2 * math.pi))
        middle = self.yaw(seconds / 2)
        return torch.stack([chord * torch.sin(middle), 0 * chord, chord * torch.cos(middle)], dim=-1)


def synthetic_walk(
    body: BodyModel, num_frames: int, fps: float, seed: int = 0
) -> tuple[Float[Tensor, "T 23 3"], Float[Tensor, "T 3"], Float[Tensor, "T 3"], Float[Tensor, "10"]]:
    """A person who walks on a gentle arc; feet are locked to the floor y = 0 while they stand.

    The feet are placed first; the legs follow by inverse kinematics.

    Args:
        body: who walks.
        num_frames: T.
        fps: frames per second.
        seed: decides cadence, stride, course, arm swing and body shape.

    Returns:
        `body_pose`, `global_orient` (axis-angle, radians), `transl` (metres, world y up), `betas`.
    """
    random = np.random.default_rng(seed)
    cadence, stride, arms = random.uniform(1.6, 2.0), random.uniform(0.9, 1.1), random.uniform(0.7, 1.2)
    heading, begin = random.uniform(-math.pi, math.pi), random.uniform(0, 1)
    turn = random.uniform(-0.35, 0.35)
    betas = torch.as_tensor(random.normal(0, 0.7, 10), dtype=torch.float32)

    offsets = body.skeleton(betas).to(_DOUBLE)
    floor = float(body.rest_vertices(betas)[:, 1].min())
    leg = float(offsets[JOINT_INDEX["left_knee"]].norm() + offsets[JOINT_INDEX["left_ankle"]].norm())
    course = _Course(_STEP_PER_LEG * leg * stride * cadence, heading, turn)
    seconds = torch.arange(num_frames, dtype=_DOUBLE) / fps
    cycle = begin + seconds * cadence / 2  # the left heel strikes at whole numbers
    swing = torch.cos(2 * math.pi * cycle)

    rotations = torch.eye(3, dtype=_DOUBLE).repeat(num_frames, 24, 1, 1)
    rotations[:, 0] = _about("y", course.yaw(seconds) - 0.06 * swing)
    _swing_upper_body(rotations, 0.4 * arms * swing)
    feet = {
        "left": _foot(offsets, "left", course, seconds, cycle, cadence, floor),
        "right": _foot(offsets, "right", course, seconds, cycle + 0.5, cadence, floor),
    }
    pelvis = course.place(seconds)
    pelvis[:, 1] = -_BOB_M * torch.cos(4 * math.pi * cycle)  # lowest when both feet stand
    pelvis[:, 1] += _reachable_rise(offsets, rotations[:, 0], pelvis, feet, leg)
    for side, foot in feet.items():
        _pose_leg(rotations, offsets, side, pelvis, foot)
    pose = roma.rotmat_to_rotvec(rotations).float()
    return pose[:, 1:], pose[:, 0], (pelvis - offsets[0]).float(), betas


class _Foot(NamedTuple):
    """A foot in the world: where its ankle is, how it is turned, and how far its toes bend against it."""

    ankle: Float[Tensor, "T 3"]
    rotation: Float[Tensor, "T 3 3"]
    toes: Float[Tensor, "T"]


def _foot(
    offsets: Float[Tensor, "24 3"],
    side: str,
    course: _Course,
    seconds: Float[Tensor, "T"],
    cycle: Float[Tensor, "T"],
    cadence: float,
    floor: float,
) -> _Foot:
    """The foot stands flat, rolls over the ball, and swings to where it will stand next."""
    knee, ankle, ball = (offsets[JOINT_INDEX[f"{side}_{part}"]] for part in ("knee", "ankle", "foot"))
    hip = offsets[JOINT_INDEX[f"{side}_hip"]]
    ball_height = float((offsets[0] + hip + knee + ankle + ball)[1]) - floor
    passed = cycle % 1
    swing = ((passed - _STANCE) / (1 - _STANCE)).clamp(0, 1)
    moved = swing**3 * (10 - 15 * swing + 6 * swing**2)  # minimum jerk: starts and ends at rest

    struck = seconds - passed * 2 / cadence
    standing = struck + _STANCE / cadence  # the middle of the stance, when the body is above the foot
    holds, yaws = [], []
    for when in (standing, standing + 2 / cadence):
        yaw = course.yaw(when)
        beside = torch.stack([0.8 * hip[0] + 0 * yaw, ball_height + 0 * yaw, 0.55 * ball[2] + 0 * yaw], dim=-1)
        holds.append(course.place(when) + (_about("y", yaw) @ beside[..., None]).squeeze(-1))
        yaws.append(yaw)
    place = torch.lerp(holds[0], holds[1], moved[:, None])
    place[:, 1] += _CLEARANCE_M * torch.sin(math.pi * swing) ** 2

    rise = ((passed / _STANCE - _HEEL_OFF) / (1 - _HEEL_OFF)).clamp(0, 1)
    roll = _PUSH_OFF_RAD * rise**2 * (3 - 2 * rise) * (1 - moved)
    pitch = roll - _TOES_UP_RAD * torch.sin(math.pi * swing) ** 2
    rotation = _about("y", torch.lerp(yaws[0], yaws[1], moved)) @ _about("x", pitch)
    return _Foot(place - (rotation @ ball), rotation, -roll)


def _reachable_rise(
    offsets: Float[Tensor, "24 3"],
    root: Float[Tensor, "T 3 3"],
    pelvis: Float[Tensor, "T 3"],
    feet: dict[str, _Foot],
    leg: float,
) -> float:
    """How far the pelvis can be lifted so that both legs still reach their feet in every frame."""
    rises = []
    for side, foot in feet.items():
        to_ankle = foot.ankle - pelvis - root @ offsets[JOINT_INDEX[f"{side}_hip"]]
        across = to_ankle[:, [0, 2]].norm(dim=-1)
        rises.append(to_ankle[:, 1] + ((_STRETCH * leg) ** 2 - across**2).clamp_min(0).sqrt())
    return float(torch.stack(rises).min())


def _pose_leg(
    rotations: Float[Tensor, "T 24 3 3"],
    offsets: Float[Tensor, "24 3"],
    side: str,
    pelvis: Float[Tensor, "T 3"],
    foot: _Foot,
) -> None:
    """Two-link inverse kinematics: the knee bends about its own x until the leg is long enough, the hip aims it."""
    hip, knee, ankle, ball = (JOINT_INDEX[f"{side}_{part}"] for part in ("hip", "knee", "ankle", "foot"))
    thigh, shank = offsets[knee], offsets[ankle]
    root = rotations[:, 0]
    to_ankle = foot.ankle - pelvis - root @ offsets[hip]
    # |thigh + Rx(k) shank|² = reach² is  a cos k + b sin k = c.
    a = thigh[1] * shank[1] + thigh[2] * shank[2]
    b = thigh[2] * shank[1] - thigh[1] * shank[2]
    c = (to_ankle.square().sum(dim=-1) - thigh.square().sum() - shank.square().sum()) / 2 - thigh[0] * shank[0]
    bend = torch.atan2(b, a) + torch.acos((c / torch.hypot(a, b)).clamp(-1, 1))
    knee_turn = _about("x", bend)
    bent_leg = thigh + knee_turn @ shank

    rotations[:, hip] = (
        root.mT @ _leg_frame(to_ankle, root[..., 0]) @ _leg_frame(bent_leg, root.new_tensor([1.0, 0, 0])).mT
    )
    rotations[:, knee] = knee_turn
    rotations[:, ankle] = (root @ rotations[:, hip] @ knee_turn).mT @ foot.rotation
    rotations[:, ball] = _about("x", foot.toes)


def _leg_frame(along: Float[Tensor, "T 3"], leftwards: Float[Tensor, "*T 3"]) -> Float[Tensor, "T 3 3"]:
    """Axes of a leg as columns: leftwards as nearly as it can be, up along the leg, forwards."""
    columns = torch.stack([-along, leftwards.expand_as(along)], dim=-1)
    up, left, backward = roma.special_gramschmidt(columns).unbind(dim=-1)
    return torch.stack([left, up, -backward], dim=-1)


def _swing_upper_body(rotations: Float[Tensor, "T 24 3 3"], swing: Float[Tensor, "T"]) -> None:
    """Arms hang and swing, each against its own leg; the trunk turns against the pelvis."""
    for side, mirror in (("left", 1.0), ("right", -1.0)):
        back = mirror * swing
        hang = _about("x", back) @ _about("z", torch.full_like(swing, -1.2 * mirror))
        rotations[:, JOINT_INDEX[f"{side}_shoulder"]] = hang
        rotations[:, JOINT_INDEX[f"{side}_elbow"]] = _about("y", mirror * (-0.4 + 0.5 * back))
    rotations[:, JOINT_INDEX["spine1"]] = _about("x", torch.full_like(swing, 0.05))
    rotations[:, JOINT_INDEX["spine3"]] = _about("y", 0.2 * swing)


def _about(axis: str, angle: Float[Tensor, "T"]) -> Float[Tensor, "T 3 3"]:
    unit = angle.new_tensor([float(axis == name) for name in "xyz"])
    return roma.rotvec_to_rotmat(angle[:, None] * unit)
