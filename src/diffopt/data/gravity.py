"""Which way is up, and where the floor is, from bodies and their planted feet."""

import numpy as np
from jaxtyping import Float
from numpy import ndarray

from diffopt.body.mass import center_of_mass
from diffopt.body.skeleton import JOINT_INDEX

UP = np.array([0.0, 1.0, 0.0])
_ANKLES = [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]
_TOES = [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]


def rotation_to_up(up: Float[ndarray, "3"]) -> Float[ndarray, "3 3"]:
    """The smallest rotation that takes the direction `up` to +y."""
    up = up / np.linalg.norm(up)
    axis, cosine = np.cross(up, UP), float(up @ UP)
    if cosine < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def up_from_bodies(
    joints: Float[ndarray, "T 24 3"],
    weight: Float[ndarray, "T"],
    rotation_w2c: Float[ndarray, "T 3 3"],
) -> Float[ndarray, "3"]:
    """World-up from all that bodies and the camera say: how people stand, that they do not fall, how cameras are held.

    Args:
        joints: relative to any point of the body, axes of the camera's world, metres.
        weight: trust in each frame.
        rotation_w2c: the camera in each frame; its axes are its rows.

    Returns:
        Unit vector.
    """
    standing = up_from_posture(joints[:, JOINT_INDEX["neck"]] - joints[:, _ANKLES].mean(axis=1), weight)
    return up_of_held_camera(up_from_balance(joints, weight, standing), rotation_w2c[:, 0], rotation_w2c[:, 2])


def up_from_posture(
    feet_to_neck: Float[ndarray, "T 3"], weight: Float[ndarray, "T"], iterations: int = 20
) -> Float[ndarray, "3"]:
    """World-up as the direction in which bodies stand: a robust mean, since people also bend and lie down.

    Args:
        feet_to_neck: from between the feet to the neck, per frame, axes of the camera's world.
        weight: trust in each frame.
        iterations: reweightings towards the geometric median.

    Returns:
        Unit vector.
    """
    directions = feet_to_neck / np.maximum(np.linalg.norm(feet_to_neck, axis=-1, keepdims=True), 1e-9)
    trust = weight
    up = UP
    for _ in range(iterations):
        up = (trust[:, None] * directions).sum(axis=0)
        up = up / np.linalg.norm(up)
        trust = weight / np.maximum(np.linalg.norm(directions - up, axis=-1), 0.05)
    return up


def up_from_balance(
    joints: Float[ndarray, "T 24 3"],
    weight: Float[ndarray, "T"],
    up: Float[ndarray, "3"],
    leg_difference_m: float = 0.3,
    along_foot: float = 0.7,
    iterations: int = 8,
) -> Float[ndarray, "3"]:
    """World-up as the direction from the feet that carry to the centre of mass, on average over a clip.

    On average, for nobody falls over: people may lean, crouch and dance, but only around their support. The foot that
    is farther below carries more.

    Args:
        joints: relative to any point of the body, axes of the camera's world, metres.
        weight: trust in each frame.
        up: a first guess, a unit vector.
        leg_difference_m: a foot this much higher than the other carries a factor e less.
        along_foot: where under the foot its load lies on average, from the ankle (0) to the toe joint (1).
        iterations: each takes the feet's heights anew along what it has found.

    Returns:
        Unit vector.
    """
    center = center_of_mass(joints)
    feet = (1 - along_foot) * joints[:, _ANKLES] + along_foot * joints[:, _TOES]
    for _ in range(iterations):
        height = (feet - center[:, None]) @ up
        load = np.exp(-(height - height.min(axis=1, keepdims=True)) / leg_difference_m)
        support = (load[..., None] * feet).sum(axis=1) / load.sum(axis=1)[:, None]
        up = weight @ (center - support)
        up = up / np.linalg.norm(up)
    return up


def up_from_contacts(
    joints: Float[ndarray, "T 24 3"], feet: Float[ndarray, "T F 3"], planted: Float[ndarray, "T F"]
) -> Float[ndarray, "3"]:
    """World-up as in `up_from_balance`, once it is known when which point of a foot is down.

    A runner's lower foot trails behind while nothing carries: only what is planted is support.

    Args:
        joints: relative to any point of the body, axes of the camera's world, metres.
        feet: points of the soles, likewise.
        planted: how far each point is down, 0 to 1.

    Returns:
        Unit vector.
    """
    carrying = planted + 1e-6
    support = (carrying[..., None] * feet).sum(axis=1) / carrying.sum(axis=1)[:, None]
    up = carrying.max(axis=1) @ (center_of_mass(joints) - support)
    return up / np.linalg.norm(up)


def up_of_held_camera(
    up: Float[ndarray, "3"],
    right_w: Float[ndarray, "T 3"],
    forward_w: Float[ndarray, "T 3"],
    body_error: float = 0.14,
    roll_error: float = 0.05,
    pitch_error: float = 0.15,
    usual_pitch: float = -0.09,
    rolled: float = 0.35,
) -> Float[ndarray, "3"]:
    """World-up as bodies say, mended by how cameras are held: level, and looking down a little at who stands there.

    Runners lean and dancers bend, the same way throughout a clip. Seen from the side that is roll, which the camera
    knows well: a picture's rows lie across up. Seen from the front it is pitch, of which it knows less: somebody films
    from eye level, five metres away, and aims at the hips. One clip is one piece of evidence, of either kind, however
    many frames it has.

    Args:
        up: what the bodies say, a unit vector, axes of the camera's world.
        right_w: the camera's x axis in each frame, same axes.
        forward_w: its z axis, where it looks.
        body_error: how far bodies lean, radians.
        roll_error: how far a camera is off level, radians.
        pitch_error: how far it looks up or down from `usual_pitch`, radians.
        usual_pitch: how far cameras look up, radians.
        rolled: a camera that seems off by this much is believed half: some are held askew, or fly.

    Returns:
        Unit vector.
    """
    across, along = right_w.T @ right_w / len(right_w), forward_w.T @ forward_w / len(forward_w)
    lift = np.sin(usual_pitch) * forward_w.mean(axis=0)
    roll = np.sqrt(np.clip(up @ across @ up, 0, 1))
    pitch = np.sqrt(np.clip(up @ along @ up - 2 * up @ lift + np.sin(usual_pitch) ** 2, 0, 1))

    def precision(error: float, seems: float) -> float:
        return (body_error / error) ** 2 / (1 + (np.arcsin(seems) / rolled) ** 2) ** 2

    of_roll, of_pitch = precision(roll_error, float(roll)), precision(pitch_error, float(pitch))
    level = np.linalg.solve(np.eye(3) + of_roll * across + of_pitch * along, up + of_pitch * lift)
    return level / np.linalg.norm(level)


def up_from_planted_feet(
    points: Float[ndarray, "N 3"],
    planted: Float[ndarray, "N"],
    samples_per_contact: float,
    height_error_m: float = 0.03,
    tilt_error: float = 0.06,
) -> Float[ndarray, "3"]:
    """A small correction of +y that makes planted feet lie on one level.

    Args:
        points: foot points in the world, y about up, metres.
        planted: how far each is down, 0 to 1.
        samples_per_contact: points that one contact contributes; they are one piece of evidence, not many.
        height_error_m: how level floor and feet are, metres.
        tilt_error: how far +y may be off, radians; the path's extent decides how much of that can be seen.

    Returns:
        Unit vector, near +y.
    """
    weight = planted / samples_per_contact
    tilt = np.zeros(2)
    for _ in range(10):
        center = (weight[:, None] * points).sum(axis=0) / weight.sum()
        offset = points - center
        # Height along the tilted up: y + a x + b z.
        ground = offset[:, [0, 2]]
        normal = (weight[:, None] * ground).T @ ground / height_error_m**2 + np.eye(2) / tilt_error**2
        tilt = np.linalg.solve(normal, -(weight * offset[:, 1]) @ ground / height_error_m**2)
        residual = offset[:, 1] + ground @ tilt
        weight = planted / samples_per_contact / (1 + (residual / (2 * height_error_m)) ** 2)
    up = np.array([tilt[0], 1.0, tilt[1]])
    return up / np.linalg.norm(up)


def floor_height(heights: Float[ndarray, "N"], planted: Float[ndarray, "N"]) -> float:
    """Height of the floor: the weighted median of planted foot points, metres."""
    order = np.argsort(heights)
    total = np.cumsum(planted[order])
    return float(heights[order][np.searchsorted(total, 0.5 * total[-1])])
