"""From an observation to the state that a fit starts from: one metric world, y up, floor y = 0. The recipe.

The initial bodies are given in the camera frame, and the camera in a world of its own, without gravity and usually
without scale. Before the first step of a fit (`initialise`):

| what is solved | from which evidence | where |
|---|---|---|
| left and right of the keypoints | initial bodies, neighbouring frames | `left_right_swap` |
| the world, as below | bodies as given | `world` |
| depth of the bodies | size of the body in the image | `depth` |
| the world again | bodies at that depth | `world` |

The world of given bodies (`world`; asked again by a fit once the pixels have mended its bodies):

| what is solved | from which evidence | where |
|---|---|---|
| where tracking was lost | a camera that stands exactly still, or that the legs contradict | `tracking_lost` |
| gravity alignment, first guess | how people stand and balance, how cameras are held | `gravity` |
| expected velocity of the root | the articulation, judged by the motion prior | `expected_velocity` |
| root trajectory, scale, contacts | camera view, expected velocity or feet in contact, inertia | `root_trajectory` |
| scale, where these contradict it | feet that stand, expected velocity: a posterior | `scale` |
| gravity alignment | balance over the feet in contact, contacts on one level | `gravity` |
| root trajectory again | as above, in the new alignment | `root_trajectory` |
| floor | lower quartile of the feet in contact | `gravity` |
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from jaxtyping import Bool
from numpy import ndarray

from diffopt.body.keypoints import confident_keypoints
from diffopt.body.model import BodyModel
from diffopt.initialisation.composed import compose_world
from diffopt.initialisation.depth import move_to_keypoint_depth
from diffopt.initialisation.left_right_swap import swap_mistaken_sides
from diffopt.initialisation.options import InitialisationOptions
from diffopt.initialisation.state import InitialState, observed_bodies
from diffopt.initialisation.world import solve_world
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation
from diffopt.prior.motion_prior import MotionPrior

WorldSolver: TypeAlias = Callable[[Motion], InitialState]
"""Brings bodies in the camera frame of each frame, and the given camera, into one world."""


@dataclass(frozen=True)
class Initialisation:
    """Where a fit starts."""

    observation: Observation
    """With left and right of its keypoints put right."""
    swapped: Bool[ndarray, "T"]
    """Frames in which they were swapped."""
    given: InitialState
    """The world of the bodies as they were given."""
    start: InitialState
    """The world of the bodies at the depth where their keypoints see them: the start."""


def initialise(
    observation: Observation,
    body: BodyModel,
    solve: WorldSolver,
    options: InitialisationOptions,
    min_confidence: float,
    move_bodies: bool = True,
) -> Initialisation:
    """Everything that is solved before the first step of a fit.

    Args:
        observation: a checked observation.
        body: the body that its betas belong to.
        solve: finds the world of given bodies, see `world_solver`.
        options: what is taken for granted of people, cameras and tools.
        min_confidence: keypoints trusted less than this are left out.
        move_bodies: move the bodies to the depth of their keypoints.
    """
    bodies = observed_bodies(observation)
    observation, swapped = swap_mistaken_sides(observation, body, bodies, options.left_right_swap)
    given = solve(bodies)
    if not move_bodies:
        return Initialisation(observation, swapped, given, start=given)
    betas, keypoints = given.betas, confident_keypoints(observation, min_confidence)
    bodies = move_to_keypoint_depth(
        bodies, body, betas, *keypoints, given.cameras.focal_px, given.cameras.center_px, options.depth
    )
    return Initialisation(observation, swapped, given, start=solve(bodies))


def world_solver(
    observation: Observation,
    body: BodyModel,
    options: InitialisationOptions,
    root_trajectory: str,
    prior: MotionPrior | None,
) -> WorldSolver:
    """The solver that a recipe asks for.

    Args:
        observation: a checked observation, for its camera and what is known of it.
        body: the body that its betas belong to.
        options: what is taken for granted of people, cameras and tools.
        root_trajectory: `prior`, `feet` or `composed`, see `FitOptions.root_trajectory`.
        prior: says what velocity to expect of the legs; None takes the feet in contact alone.
    """
    if root_trajectory == "composed":
        return partial(compose_world, observation, body, options=options)
    prior = prior if root_trajectory == "prior" else None
    return partial(solve_world, observation, body, options=options, prior=prior)
