"""Which way is up, and where the floor is, from bodies and their feet in contact."""

import numpy as np
import roma
import scipy.linalg
import scipy.spatial
import torch
from jaxtyping import Float
from numpy import ndarray

from diffopt.body.mass import center_of_mass
from diffopt.body.skeleton import JOINT_INDEX
from diffopt.geometry.alignment import shortest_turn
from diffopt.geometry.cameras import NEAR_M
from diffopt.initialisation.options import GravityOptions

UP = np.array([0.0, 1.0, 0.0])
GRAVITY_M_S2 = 9.81
STRIDE_S = 1.0
"""Two steps of a walk take about this long (1.0 to 1.1 s, Winter 1991), seconds."""
_ANKLES = [JOINT_INDEX["left_ankle"], JOINT_INDEX["right_ankle"]]
_TOES = [JOINT_INDEX["left_foot"], JOINT_INDEX["right_foot"]]


def rotation_to_up(up: Float[ndarray, "3"]) -> Float[ndarray, "3 3"]:
    """The smallest rotation that takes the direction `up` to +y."""
    return roma.rotvec_to_rotmat(shortest_turn(torch.from_numpy(up), torch.from_numpy(UP))).numpy()


def up_from_bodies(
    joints: Float[ndarray, "T 24 3"],
    weight: Float[ndarray, "T"],
    pelvis: Float[ndarray, "T 3"],
    rotation_w2c: Float[ndarray, "T 3 3"],
    options: GravityOptions,
) -> Float[ndarray, "3"]:
    """World-up from all that bodies and the camera say: how people stand, that they do not fall, how cameras are held.

    Args:
        joints: relative to the pelvis, axes of the camera's world, metres.
        weight: trust in each frame.
        pelvis: from the camera, same axes, metres.
        rotation_w2c: the camera in each frame; its axes are its rows.
        options: how people stand and cameras are held.

    Returns:
        Unit vector.
    """
    standing = up_from_posture(joints[:, JOINT_INDEX["neck"]] - joints[:, _ANKLES].mean(axis=1), weight)
    up = up_from_balance(joints, weight, standing, options.leg_difference_m, options.along_foot)
    return up_of_held_camera(up, rotation_w2c[:, 0], pelvis[:, None] + joints[:, _TOES], options)


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
    leg_difference_m: float,
    along_foot: float,
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
    joints: Float[ndarray, "T 24 3"],
    feet: Float[ndarray, "T F 3"],
    contact: Float[ndarray, "T F"],
    root: Float[ndarray, "T 3"],
    fps: float,
) -> Float[ndarray, "3"]:
    """World-up as in `up_from_balance`, once it is known when which point of a foot is down, and where people go.

    A runner's lower foot trails behind while nothing carries: only what is in contact is support. And who gathers speed
    leans into it: the ground pushes along g up + a (Newton), on average along g up + (gained velocity) / duration.

    Args:
        joints: relative to the root, axes of the camera's world, metres.
        feet: points of the soles, likewise.
        contact: how far each point is down, 0 to 1.
        root: its path, same axes, metres.
        fps: frames per second.

    Returns:
        Unit vector.
    """
    carrying = contact + 1e-6
    center = center_of_mass(joints)
    support = (carrying[..., None] * feet).sum(axis=1) / carrying.sum(axis=1)[:, None]
    push = carrying.max(axis=1) @ (center - support)
    push = push / np.linalg.norm(push)
    gained = _mean_acceleration(center + root, fps)
    # The push is as strong as makes up a unit vector.
    strength = push @ gained + np.sqrt(max(GRAVITY_M_S2**2 - gained @ gained + (push @ gained) ** 2, 0.0))
    up = strength * push - gained
    return up / np.linalg.norm(up)


def _mean_acceleration(path: Float[ndarray, "T 3"], fps: float) -> Float[ndarray, "3"]:
    """Velocity gained from a clip's beginning to its end over the time between, metres per second squared.

    Each of the two velocities is that of a stride, since people sway in each. A clip that is too short for two strides
    is taken for unaccelerated: a few centimetres of error would say anything.
    """
    span = round(STRIDE_S * fps)
    if len(path) <= 2 * span:
        return np.zeros(3)
    before, after = path[span] - path[0], path[-1] - path[-1 - span]
    return (after - before) * fps**2 / (span * (len(path) - 1 - span))


def up_of_held_camera(
    up: Float[ndarray, "3"],
    right_w: Float[ndarray, "T 3"],
    feet_seen: Float[ndarray, "T F 3"],
    options: GravityOptions,
) -> Float[ndarray, "3"]:
    """World-up as bodies say, mended by how cameras are held: level, and as high as people hold them.

    Runners lean and dancers bend, the same way throughout a clip. Seen from the side that is roll, which the camera
    knows well: a picture's rows lie across up. Seen from the front it is pitch, of which it knows less: only that a
    camera turned wrongly would be held under the floor, or over everybody's heads. One clip is one piece of evidence,
    of either kind, however many frames it has.

    Args:
        up: what the bodies say, a unit vector, axes of the camera's world.
        right_w: the camera's x axis in each frame, same axes.
        feet_seen: points of the feet from the camera, same axes, metres; the lowest is taken to stand.
        options: how people and cameras are held upright.

    Returns:
        Unit vector.
    """
    across = right_w.T @ right_w / len(right_w)
    lowest = (feet_seen @ up).argmin(axis=1)
    ground = feet_seen[np.arange(len(feet_seen)), lowest].mean(axis=0)
    roll = np.arcsin(np.sqrt(np.clip(up @ across @ up, 0, 1)))
    rise = options.camera_height_m + ground @ up

    def precision(error: float, seems: float, strange: float) -> float:
        return (options.body_lean_rad / error) ** 2 / (1 + (seems / strange) ** 2) ** 2

    of_roll = precision(options.camera_roll_rad, roll, options.strange_roll_rad)
    of_height = precision(options.camera_height_error_m, rise, options.strange_height_m)
    level = np.linalg.solve(
        np.eye(3) + of_roll * across + of_height * np.outer(ground, ground),
        up - of_height * options.camera_height_m * ground,
    )
    return level / np.linalg.norm(level)


def up_from_level_contacts(
    points: Float[ndarray, "T F 3"],
    contact: Float[ndarray, "T F"],
    depth_m: Float[ndarray, "T"],
    fps: float,
    options: GravityOptions,
) -> Float[ndarray, "3"]:
    """A small correction of +y that makes feet in contact lie on one level.

    The level itself may wander: as the tilt of an estimated camera drifts, somebody far off seems to walk up and down
    hills, which say nothing of what is up.

    Args:
        points: foot points in the world, y about up, metres.
        contact: how far each is down, 0 to 1.
        depth_m: how far from the camera the person was seen, metres.
        fps: frames per second.
        options: how level contacts are, how far the camera's tilt drifts, and how far off +y may be.

    Returns:
        Unit vector, near +y.
    """
    crowd = _crowd(points.reshape(-1, 3), contact.ravel(), options.place_m).reshape(contact.shape)
    # A trace of evidence everywhere: the levels of a clip in which no foot is ever down must come out somehow.
    evidence = (contact / np.maximum(crowd, 1e-9) + 1e-9) / options.contact_height_m**2
    height, ground = points[..., 1], points[..., [0, 2]]
    stiff = fps / (options.tilt_drift_rad * np.maximum(depth_m[1:], NEAR_M)) ** 2
    weight = evidence
    tilt = np.zeros(2)
    for _ in range(10):
        # Height along the tilted up, y + a x + b z, is the level; the levels, a chain in time, are eliminated.
        chain = np.zeros((2, len(points)))
        chain[1] = weight.sum(axis=1)
        chain[1, 1:] += stiff
        chain[1, :-1] += stiff
        chain[0, 1:] = -stiff
        moments = np.einsum("tf,tfi->ti", weight, np.concatenate([height[..., None], ground], axis=-1))
        levels = scipy.linalg.solveh_banded(chain, moments)
        weighted = weight[..., None] * ground
        normal = np.einsum("tfi,tfj->ij", weighted, ground) - moments[:, 1:].T @ levels[:, 1:]
        known = moments[:, 1:].T @ levels[:, 0] - np.einsum("tfi,tf->i", weighted, height)
        tilt = np.linalg.solve(normal + np.eye(2) / options.up_error_rad**2, known)
        residual = height + ground @ tilt - (levels @ np.array([1.0, *tilt]))[:, None]
        weight = evidence / (1 + (residual / (2 * options.contact_height_m)) ** 2)
    up = np.array([tilt[0], 1.0, tilt[1]])
    return up / np.linalg.norm(up)


def _crowd(points: Float[ndarray, "N 3"], weight: Float[ndarray, "N"], place_m: float) -> Float[ndarray, "N"]:
    """Weight of all points within about `place_m` of each, itself among them.

    By cells: feet stand still, so that even a long clip has few, while pairs of points grow with its square.
    """
    cells, cell = np.unique(np.round(points / (place_m / 2)).astype(int), axis=0, return_inverse=True)
    tree = scipy.spatial.KDTree(cells * (place_m / 2))
    distances = tree.sparse_distance_matrix(tree, 3 * place_m, output_type="coo_matrix")
    distances.data = np.exp(-0.5 * (distances.data / place_m) ** 2)
    return (distances @ np.bincount(cell.ravel(), weight))[cell.ravel()]


def floor_height(heights: Float[ndarray, "N"], contact: Float[ndarray, "N"], share_below: float) -> float:
    """Height of the floor: a low quantile of foot points in contact by their weight, metres.

    Not their median: a point that is taken for in contact may be a little above the floor, but never below it, where
    only errors of the estimate put it.

    Args:
        heights: of foot points, metres.
        contact: how far each is down, 0 to 1.
        share_below: the part of their weight that may lie below the floor.
    """
    order = np.argsort(heights)
    total = np.cumsum(contact[order])
    return float(heights[order][np.searchsorted(total, share_below * total[-1])])
