"""A known body height: the one length in a video that a tape measure can give.

A camera sees a small person nearby and a tall one farther off alike. Estimators assume an average body, and the whole
world comes out too small or too large with it; knowing the height mends body and world at once.
"""

from dataclasses import replace

import torch

from diffopt.body.model import BodyModel
from diffopt.body.stature import resize
from diffopt.observation.observation import Observation


def with_known_height(observation: Observation, body: BodyModel) -> Observation:
    """The observation with its initial body of its `height_m`; the same observation where that is not known.

    Args:
        observation: a checked observation.
        body: the body that its betas belong to.
    """
    if observation.height_m is None:
        return observation
    sized = resize(
        body,
        torch.as_tensor(observation.betas).float(),
        torch.as_tensor(observation.transl_c).float(),
        observation.height_m,
    )
    return replace(observation, betas=sized.betas.numpy(), transl_c=sized.transl_c.numpy())
