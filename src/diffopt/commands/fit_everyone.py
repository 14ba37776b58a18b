"""`diffopt fit --all`: everyone in a video in one world, with one camera and one scale.

The person seen longest is fitted first and says what the camera did, how large the world is and where down is. The
others are fitted with that camera held as known, and moved into the first one's world.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from diffopt.body.model import BodyModel, load_body
from diffopt.commands.fit import fit, frontend_cache, people_sheet, result_folder
from diffopt.config import Config
from diffopt.errors import DiffoptError
from diffopt.formats.reading import read_all
from diffopt.frontend.prepare import prepare_everyone
from diffopt.frontend.video import is_video
from diffopt.motion.motion import Motion, turn_world
from diffopt.observation.observation import Observation
from diffopt.result.result import Result, refuse_to_destroy


def fit_everyone(config: Config, console: Console) -> list[Path]:
    """Fit all people of a video, a result file, or a folder of observations that share a camera (`convert --all`).

    Args:
        config: as for `fit`; `out` is the folder that holds one result folder for each person.
        console: where to say what was found.

    Returns:
        The result folders, the person seen longest first.

    Raises:
        DiffoptError: as `fit`, or the observations do not share a camera.
    """
    body = load_body(config.body.model, config.body.keypoint_regressor)
    folder = result_folder(config)
    people = _people(config, folder, body)
    folders = {label: folder / label for label in people}
    for path in folders.values():
        refuse_to_destroy(path, config.overwrite)
    first, *others = people
    fit(replace(config, out=str(folders[first])), console, people[first])
    world = Result.load(folders[first])
    for label in others:
        held = hold_camera(people[label], world, body)
        fit(replace(config, out=str(folders[label])), console, held, lambda result: into_world(result, world, body))
    return list(folders.values())


def _people(config: Config, folder: Path, body: BodyModel) -> dict[str, Observation]:
    source = Path(config.source)
    if is_video(config.source) and source.is_file():
        if config.frontend.person is not None or config.body.height_m is not None:
            raise DiffoptError(
                "`--all` fits everybody, but frontend.person and body.height_m are of one person; leave them out."
            )
        people = prepare_everyone(source, config.frontend, frontend_cache(folder), body, sheet=people_sheet(folder))
    elif source.is_dir() and list(source.glob("*.npz")):
        people = {path.stem: Observation.load(path) for path in sorted(source.glob("*.npz"))}
    elif source.exists():
        people = read_all(source, body=body)
    else:
        raise DiffoptError(
            f"{source}: no such file; `--all` takes a video, a result file with several people, or a folder of "
            "their observations."
        )
    ordered = dict(sorted(people.items(), key=lambda one: -int(one[1].frame_valid.sum())))
    first = next(iter(ordered.values()))
    for label, one in ordered.items():
        same = one.num_frames == first.num_frames and np.allclose(one.rotation_w2c, first.rotation_w2c, atol=1e-4)
        if not same or not np.allclose(one.translation_w2c, first.translation_w2c, atol=1e-4):
            raise DiffoptError(
                f"{source}: '{label}' and '{next(iter(ordered))}' do not have the same camera; expected observations "
                "of one video; make them with `diffopt convert --all`, or fit each on its own."
            )
    return ordered


def hold_camera(observation: Observation, world: Result, body: BodyModel) -> Observation:
    """The observation with the camera that another person's fit found, held as known; y is up in its world.

    Where the fit found another focal length, the initial body moves away with it, so that it stays on its pixels.
    """
    rest = body.rest_joints(torch.as_tensor(observation.betas).float())[0].numpy()
    pelvis = observation.transl_c + rest
    pelvis = np.concatenate([pelvis[:, :2], pelvis[:, 2:] * (world.focal_px / observation.focal_px)[:, None]], axis=1)
    return replace(
        observation,
        transl_c=pelvis - rest,
        rotation_w2c=world.rotation_w2c,
        translation_w2c=world.translation_w2c,
        focal_px=world.focal_px,
        camera_scale="metric",
        camera_trust="known",
        gravity_w=np.array([0.0, -1.0, 0.0]),
    )


def into_world(result: Result, world: Result, body: BodyModel) -> Result:
    """A result with the same camera as another, in the other's world: the camera of the first frame says the move."""
    own, other = result.rotation_w2c[0].astype(np.float64), world.rotation_w2c[0].astype(np.float64)
    turn = torch.from_numpy(other.T @ own).float()
    shift = torch.from_numpy(other.T @ (result.translation_w2c[0] - world.translation_w2c[0])).float()
    motion = Motion.from_axis_angle(
        *(torch.from_numpy(values) for values in (result.body_pose, result.global_orient, result.transl))
    )
    rest = body.rest_joints(torch.from_numpy(result.betas).float())[0]
    _, orient, transl = turn_world(motion, rest, turn, shift).axis_angle()
    return replace(
        result,
        global_orient=orient.numpy(),
        transl=transl.numpy(),
        joints=(torch.from_numpy(result.joints) @ turn.T + shift).numpy(),
        rotation_w2c=world.rotation_w2c,
        translation_w2c=world.translation_w2c,
    )
