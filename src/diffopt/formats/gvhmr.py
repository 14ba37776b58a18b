"""GVHMR: `hmr4d_results.pt`, `preprocess/bbx.pt`; its `vitpose.pt` is read as ViTPose's, `slam_results.pt` as DPVO's.

Convention: `smpl_params_incam` in the camera frame, `smpl_params_global` in a world with y up; SMPL-X (its rest pelvis
is 13 cm lower than SMPL's, its betas are not SMPL's), `body_pose` (L, 63), `transl` smplx's, metres. `K_fullimg`
(L, 3, 3) of the full frame. One person, every frame, 30 per second. There is no camera: it follows from the two
bodies, R_w2c = R_c R_w^T, t = pelvis_c - R_w2c pelvis_w.

Written: SMPL-X has other betas, so its mean shape is written, with the pelvis where it was.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy import ndarray

from diffopt.body.model import BodyModel
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.files.atomic import partial_file
from diffopt.formats.own import OwnNotes, own_notes
from diffopt.formats.parameters import parameters_of
from diffopt.formats.parts import Body, Contents, Person, lens_of_matrices, matrices, one_shape, with_hands
from diffopt.result.result import Result

FPS = 30.0


def matches(content: Any) -> bool:
    """The results, or the boxes."""
    if not isinstance(content, dict):
        return False
    return {"smpl_params_global", "smpl_params_incam", "K_fullimg"} <= content.keys() or "bbx_xyxy" in content


def parse(content: Any) -> Contents:
    """The one person, or that person's boxes."""
    if "bbx_xyxy" in content:
        boxes = np.asarray(content["bbx_xyxy"], np.float64)
        return Contents(boxes_of_tracks=((np.arange(len(boxes)), boxes),))
    own = own_notes(content)
    lens = own.lens or lens_of_matrices(np.asarray(content["K_fullimg"], np.float64))
    body = _body(content["smpl_params_incam"], own)
    center = lens.center_px[0]
    person = Person(
        name="0",
        frames=np.arange(len(body.position)),
        body=body,
        world=_body(content["smpl_params_global"], own),
        lens=lens,
    )
    return Contents(
        people=(person,),
        fps=own.fps or FPS,
        image_size_px=own.image_size_px or (round(2 * center[0]), round(2 * center[1])),
        num_frames=len(body.position),
    )


def _body(params: dict[str, Any], own: OwnNotes) -> Body:
    return Body(
        body_pose=with_hands(matrices(params["body_pose"])),
        global_orient=matrices(params["global_orient"]),
        position=np.asarray(params["transl"], np.float64),
        betas=one_shape(params["betas"]),
        family="smplx",
        own=own.body,
    )


def write(path: Path, result: Result, body: BodyModel) -> Path:
    """Write the motion; a file that is there is replaced once the new one is complete."""
    motion = parameters_of(result, body)
    count = result.num_frames
    body_pose = motion.body_pose[:, : BODY_JOINTS - 1].reshape(count, -1)

    def params(orient: ndarray, transl: ndarray) -> dict[str, torch.Tensor]:
        values = {"body_pose": body_pose, "betas": np.zeros((count, 10)), "global_orient": orient, "transl": transl}
        return {name: torch.from_numpy(value).float() for name, value in values.items()}

    lens = np.tile(np.eye(3), (count, 1, 1))
    lens[:, 0, 0] = lens[:, 1, 1] = result.focal_px
    lens[:, :2, 2] = result.center_px
    content = {
        "smpl_params_global": params(motion.orient_w, motion.transl_w("smplx")),
        "smpl_params_incam": params(motion.orient_c, motion.transl_c("smplx")),
        "K_fullimg": torch.from_numpy(lens).float(),
        **{name: torch.as_tensor(value) if isinstance(value, ndarray) else value for name, value in motion.own.items()},
    }
    with partial_file(path) as partial:
        torch.save(content, partial)
    return path
