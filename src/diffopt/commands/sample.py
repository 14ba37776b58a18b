"""`diffopt sample`: motions drawn from the prior, for people to look at what it knows."""

import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from diffopt.body.model import BodyModel, load_body
from diffopt.body.skeleton import BODY_JOINTS
from diffopt.config import SampleOptions, to_yaml
from diffopt.errors import DiffoptError
from diffopt.formats import glb
from diffopt.motion.motion import Motion
from diffopt.prior.draw import draw
from diffopt.prior.mdm.mdm_prior import MdmPrior
from diffopt.prior.motion_prior import MotionPrior, load_prior
from diffopt.result.result import Result
from diffopt.show.motions import PANE_PX, onlooking_camera, write_motions
from diffopt.show.scene import Scene


def sample(options: SampleOptions) -> list[Path]:
    """Draw motions and write `motion_01.glb` and so on, `motions.mp4` and `motions.png` into a new folder.

    Returns:
        The files written.

    Raises:
        DiffoptError: the folder exists, or the prior cannot draw what is asked for.
    """
    folder = Path(options.out)
    if folder.exists() or folder.is_symlink():
        raise DiffoptError(f"{folder}: exists already; drawn motions overwrite nothing; choose another `out=`.")
    if options.count < 1:
        raise DiffoptError(f"count={options.count}: nothing to draw; ask for 1 motion or more.")
    torch.set_num_threads(options.threads)
    prior = load_prior(options.prior.path)
    frames = round(options.seconds * prior.fps)
    if not 2 <= frames <= prior.window:
        raise DiffoptError(
            f"seconds={options.seconds:g}: this prior draws {2 / prior.fps:g} to {prior.window / prior.fps:g} seconds."
        )
    if not 2 <= options.steps <= prior.schedule.num_steps:
        raise DiffoptError(f"steps={options.steps}: this prior takes 2 to {prior.schedule.num_steps} steps.")
    body = load_body()
    scenes = [Scene(result, body) for result in _draw(prior, body, frames, options)]
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
    try:
        partial.chmod(0o755)  # mkdtemp hides it from others
        written = write_motions(partial / "motions.mp4", partial / "motions.png", scenes)
        digits = len(str(options.count))
        for number, scene in enumerate(scenes, start=1):
            written.append(glb.write(partial / f"motion_{number:0{digits}}.glb", scene.result, body))
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return [folder / path.name for path in written]


def _draw(prior: MotionPrior | MdmPrior, body: BodyModel, frames: int, options: SampleOptions) -> list[Result]:
    """Drawn motions on the free body, each with a camera that stands and sees all of it."""
    betas = torch.zeros(10)
    generator = torch.Generator().manual_seed(options.seed)
    drawn = draw(prior, options.count, frames, options.steps, generator, body.skeleton(betas)[:BODY_JOINTS])
    hands = torch.eye(3).expand(frames, 2, 3, 3)
    results = []
    for rotations, root in zip(drawn.rotations, drawn.root, strict=True):
        transl = root - body.rest_joints(betas)[0]
        motion = Motion(torch.cat((rotations[:, 1:], hands), dim=1), rotations[:, 0], transl)
        body_pose, global_orient, _ = (values.numpy() for values in motion.axis_angle())
        rotation, translation, focal_px = onlooking_camera(root.double().numpy())
        results.append(
            Result(
                fps=prior.fps,
                body_model=body.name,
                body_pose=body_pose,
                global_orient=global_orient,
                transl=transl.numpy(),
                betas=betas.numpy(),
                joints=body.joints(motion.body_pose, motion.global_orient, motion.transl, betas).numpy(),
                rotation_w2c=np.tile(rotation, (frames, 1, 1)),
                translation_w2c=np.tile(translation, (frames, 1)),
                focal_px=np.full(frames, focal_px),
                center_px=np.tile((np.array(PANE_PX) - 1) / 2, (frames, 1)),
                image_size_px=np.array(PANE_PX),
                diagnostics={},
                config_yaml=to_yaml(options),
                run=asdict(options),
            )
        )
    return results
