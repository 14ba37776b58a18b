"""The world as the paper composes it: bodies where the given camera sees them, and nothing solved (section 3.3.1)."""

import numpy as np
import torch

from diffopt.body.model import BodyModel
from diffopt.initialisation.camera_view import view_from_camera
from diffopt.initialisation.gravity import floor_height
from diffopt.initialisation.options import InitialisationOptions
from diffopt.initialisation.state import InitialState, cameras_in_world, pose_in_world
from diffopt.initialisation.world import first_alignment
from diffopt.motion.motion import Motion
from diffopt.observation.observation import Observation


def compose_world(
    observation: Observation, body: BodyModel, bodies_c: Motion, options: InitialisationOptions
) -> InitialState:
    """The bodies where the given camera sees them, and nothing more: x_init as the paper has it (section 3.3.1).

    The paper leaves to a supplement what it calls a simple heuristic that keeps the human in the frustum of the
    estimated camera. Here every body stands where its estimator put it in front of the camera of its frame, the
    camera's unit is taken for a metre, up is how people stand and how cameras are held (or the gravity given), and a
    quarter of the clip's lowest feet may be below the floor. No prior, no legs, no scale.

    Args, Returns: as for `solve_world`.
    """
    betas = torch.as_tensor(observation.betas).float()
    view = view_from_camera(observation, body, bodies_c, options.tracking_lost, bridge_lost=False)
    align = first_alignment(observation, view, options.gravity)
    root = (view.pelvis + view.centers) @ align.T
    lowest = ((view.feet(align) + root[:, None])[..., 1] - body.sole_heights(betas).double().numpy()).min(axis=1)
    lift = np.array([0.0, -floor_height(lowest, view.valid.astype(np.float64), options.gravity.floor_share), 0.0])
    centers_w = view.centers @ align.T + lift
    motion = pose_in_world(bodies_c, body, betas, view.rotation @ align.T, root + lift)
    return InitialState(
        motion=motion,
        composed=motion,
        cameras=cameras_in_world(observation, view.rotation @ align.T, centers_w),
        betas=betas,
        scale_known=not view.find_scale,
        findings={
            "camera_scale": 1.0,
            "camera_scale_log_error": 0.0,
            "camera_lost_share": 0.0,
            "gravity_correction_deg": 0.0,
            "camera_height_m": float(centers_w[0, 1]),
        },
    )
