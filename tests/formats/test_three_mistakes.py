"""The three mistakes that are made most with these files, tried on every format that can have them: the table of
docs/importers.md, line by line."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from diffopt.errors import DiffoptError
from diffopt.formats.camera_checks import check_lens
from diffopt.formats.parts import constant_lens
from diffopt.formats.reading import FORMATS, import_notes, read
from tests.formats import layouts
from tests.formats.layouts import FOCAL, FPS, FRAMES, HEIGHT, SMPL_PELVIS, WIDTH, Scene
from tests.formats.test_conventions import invert, weak_camera
from tests.formats.test_importers import dump_joblib, dump_npy, dump_npz, dump_pickle, dump_torch, dump_video

PAGE = (Path(__file__).parents[2] / "docs" / "importers.md").read_text("utf-8")
MISTAKES = ("swapped quaternion", "inverted extrinsics", "crop intrinsics")


def seen_from_first_camera(scene: Scene) -> Scene:
    """The same scene with its first camera as the world, as SLAM has it."""
    turn, shift = scene.R[0], scene.t[0]
    rotvec = scene.rotvec.copy()
    rotvec[:, 0] = (Rotation.from_matrix(turn) * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    turned = scene.R @ turn.T
    return replace(
        scene,
        rotvec=rotvec,
        pelvis=scene.pelvis @ turn.T + shift,
        joints=scene.joints @ turn.T + shift,
        R=turned,
        t=scene.t - turned @ shift,
    )


def crop_matrix(scene: Scene) -> np.ndarray:
    """Intrinsics of a 224-pixel crop around the person in the first frame."""
    box = scene.boxes()[0]
    focal = FOCAL * 224 / (box[2:] - box[:2]).max()
    return np.array([[focal, 0, 112], [0, focal, 112], [0, 0, 1]])


class Files:
    """Writes a scene as the tools would."""

    def __init__(self, scene: Scene, body, folder: Path) -> None:
        self.scene, self.body, self.folder = scene, body, folder

    def phalp(self):
        return dump_joblib(self.folder / "demo.pkl", layouts.phalp(self.scene))

    def vitpose(self):
        return dump_torch(self.folder / "vitpose.pt", torch.from_numpy(self.scene.keypoints()).float())

    def tram(self, camera):
        track = np.array(layouts.tram_track(self.scene, np.arange(FRAMES)), dtype=object)
        bodies = dump_npy(self.folder / "hps_track_0.npy", track)
        return [bodies, dump_npy(self.folder / "camera.npy", np.array(camera, dtype=object)), self.vitpose()]


def slam_swapped(files: Files):
    poses = layouts.droid(files.scene)[:, [0, 1, 2, 6, 3, 4, 5]]
    return [files.phalp(), dump_npy(files.folder / "traj.npy", poses)]


def tum_swapped(files: Files):
    poses = layouts.droid(files.scene)[:, [0, 1, 2, 6, 3, 4, 5]]
    np.savetxt(files.folder / "traj.txt", np.column_stack([np.arange(FRAMES) / FPS, poses]))
    return [files.phalp(), files.folder / "traj.txt"]


def slam_inverted(files: Files):
    poses = layouts.droid(files.scene)
    turn, shift = invert(Rotation.from_quat(poses[:, 3:]).as_matrix(), poses[:, :3])
    inverted = np.concatenate([shift, Rotation.from_matrix(turn).as_quat()], axis=1)
    return [files.phalp(), dump_npy(files.folder / "traj.npy", inverted.astype(np.float32))]


def slahmr_inverted(files: Files):
    content = layouts.slahmr_results(files.scene)
    content["cam_R"], content["cam_t"] = invert(content["cam_R"], content["cam_t"])
    return [dump_npz(files.folder / "a_world_results.npz", content), files.vitpose()]


def slahmr_cameras_inverted(files: Files):
    content = layouts.slahmr_cameras(files.scene)
    content["w2c"] = np.linalg.inv(content["w2c"])
    return [files.phalp(), dump_npz(files.folder / "cameras.npz", content)]


def slahmr_crop(files: Files):
    content, crop = layouts.slahmr_results(files.scene), crop_matrix(files.scene)
    content["intrins"] = np.float32([crop[0, 0], crop[0, 0], 112, 112])
    video = dump_video(files.folder / "clip.mp4")
    return [dump_npz(files.folder / "a_world_results.npz", content), files.vitpose(), video]


def slahmr_cameras_crop(files: Files):
    content, crop = layouts.slahmr_cameras(files.scene), crop_matrix(files.scene)
    content["intrins"][:] = [crop[0, 0], crop[0, 0], 112, 112]
    return [files.phalp(), files.vitpose(), dump_npz(files.folder / "cameras.npz", content)]


def tram_inverted(files: Files):
    camera = layouts.tram_camera(files.scene)
    camera["pred_cam_R"], camera["pred_cam_T"] = files.scene.R, files.scene.t
    return files.tram(camera)


def tram_crop(files: Files):
    camera = layouts.tram_camera(files.scene)
    camera["img_focal"], camera["img_center"] = crop_matrix(files.scene)[0, 0], np.array([112.0, 112.0])
    return files.tram(camera)


def prompthmr_inverted(files: Files):
    content = layouts.prompthmr(files.scene)
    content["camera"]["pred_cam_R"], content["camera"]["pred_cam_T"] = files.scene.R, files.scene.t
    return [dump_joblib(files.folder / "results.pkl", content)]


def prompthmr_crop(files: Files):
    content = layouts.prompthmr(files.scene)
    content["camera"] |= {"img_focal": crop_matrix(files.scene)[0, 0], "img_center": np.array([112.0, 112.0])}
    return [dump_joblib(files.folder / "results.pkl", content)]


def emdb_inverted(files: Files):
    content = layouts.emdb(files.scene)
    content["camera"]["extrinsics"] = np.linalg.inv(content["camera"]["extrinsics"])
    return [dump_pickle(files.folder / "a_data.pkl", content)]


def emdb_crop(files: Files):
    content = layouts.emdb(files.scene)
    content["camera"]["intrinsics"] = crop_matrix(files.scene)
    return [dump_pickle(files.folder / "a_data.pkl", content)]


def glamr_inverted(files: Files):
    content = layouts.glamr(files.scene)
    content["cam_pose"] = np.linalg.inv(content["cam_pose"])
    return [dump_pickle(files.folder / "a.pkl", content)]


def glamr_crop(files: Files):
    content = layouts.glamr(files.scene)
    content["person_data"][0]["cam_K"] = np.tile(crop_matrix(files.scene), (FRAMES, 1, 1))
    return [dump_pickle(files.folder / "a.pkl", content)]


def gvhmr_crop(files: Files):
    content = layouts.gvhmr(files.scene)
    content["K_fullimg"] = torch.from_numpy(crop_matrix(files.scene)).float().repeat(FRAMES, 1, 1)
    boxes = {"bbx_xyxy": torch.from_numpy(files.scene.boxes())}
    return [
        dump_torch(files.folder / "hmr4d_results.pt", content),
        dump_torch(files.folder / "bbx.pt", boxes),
        dump_video(files.folder / "clip.mp4"),
    ]


def phalp_crop(files: Files):
    content, camera = layouts.phalp(files.scene), weak_camera(files.scene, SMPL_PELVIS)
    for entry in content.values():
        entry["camera"][0] = camera[entry["time"]]
    return [dump_joblib(files.folder / "demo.pkl", content)]


def wham_crop(files: Files):
    content = layouts.wham(files.scene, files.body)
    content[0]["trans"] = weak_camera(files.scene, SMPL_PELVIS).astype(np.float32)
    tracks = {0: {"keypoints": files.scene.keypoints(), "frame_id": np.arange(FRAMES), "bbox": np.ones((FRAMES, 3))}}
    return [
        dump_joblib(files.folder / "wham_output.pkl", content),
        dump_joblib(files.folder / "tracking_results.pth", tracks),
        dump_video(files.folder / "clip.mp4"),
    ]


def hybrik_crop(files: Files):
    content = layouts.hybrik(files.scene)
    content["transl"] = content["transl"] * 256 / (content["bbox"][:, 2] - content["bbox"][:, 0])[:, None]
    return [dump_pickle(files.folder / "res.pk", content)]


def vibe_crop(files: Files):
    """The other way round: the full frame's camera in the place of the crop's."""
    content = layouts.vibe(files.scene)
    content[1]["pred_cam"] = content[1]["orig_cam"][:, [0, 2, 3]]
    return [dump_joblib(files.folder / "vibe_output.pkl", content)]


CASES: dict[tuple[str, str], list[Callable[[Files], list[Path]]]] = {
    ("slam", "swapped quaternion"): [slam_swapped, tum_swapped],
    ("slam", "inverted extrinsics"): [slam_inverted],
    ("slahmr", "inverted extrinsics"): [slahmr_inverted, slahmr_cameras_inverted],
    ("slahmr", "crop intrinsics"): [slahmr_crop, slahmr_cameras_crop],
    ("tram", "inverted extrinsics"): [tram_inverted],
    ("tram", "crop intrinsics"): [tram_crop],
    ("prompthmr", "inverted extrinsics"): [prompthmr_inverted],
    ("prompthmr", "crop intrinsics"): [prompthmr_crop],
    ("emdb", "inverted extrinsics"): [emdb_inverted],
    ("emdb", "crop intrinsics"): [emdb_crop],
    ("glamr", "inverted extrinsics"): [glamr_inverted],
    ("glamr", "crop intrinsics"): [glamr_crop],
    ("gvhmr", "crop intrinsics"): [gvhmr_crop],
    ("phalp", "crop intrinsics"): [phalp_crop],
    ("wham", "crop intrinsics"): [wham_crop],
    ("hybrik", "crop intrinsics"): [hybrik_crop],
    ("vibe", "crop intrinsics"): [vibe_crop],
}
OF_FIRST_CAMERA = (tram_inverted, prompthmr_inverted, slahmr_cameras_inverted)
"""Whose worlds begin at the first camera."""
BY_ITS_TURNING = (slam_inverted, *OF_FIRST_CAMERA)
"""Seen by how much the person turns."""


def documented() -> dict[tuple[str, str], str]:
    """By format and mistake, what docs/importers.md quotes; a dash where the format has no such thing."""
    table = PAGE[PAGE.index("| format | swapped quaternion |") :].split("\n\n")[0].splitlines()[2:]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table]
    return {(row[0].strip("`"), mistake): cell for row in rows for mistake, cell in zip(MISTAKES, row[1:], strict=True)}


def test_the_table_has_every_format_and_a_case_for_every_cell():
    table = documented()
    assert {name for name, _ in table} == set(FORMATS)
    assert {cell for cell, text in table.items() if text != "—"} == set(CASES)


@pytest.mark.parametrize(
    ("cell", "case"),
    [pytest.param(cell, case, id=case.__name__) for cell, cases in CASES.items() for case in cases],
)
def test_the_mistake_is_refused_in_the_words_of_the_table(cell, case, scene, fast_scene, body, tmp_path):
    world = fast_scene if case in BY_ITS_TURNING else scene
    if case in OF_FIRST_CAMERA:
        world = seen_from_first_camera(world)
    quoted = re.findall(r"`([^`]+)`", documented()[cell])

    with pytest.raises(DiffoptError) as error:
        read(case(Files(world, body, tmp_path)))

    assert any(text in str(error.value) for text in quoted), str(error.value)
    print(f"\n{case.__name__}: {str(error.value).replace(str(tmp_path) + '/', '')}")


@pytest.mark.parametrize("case", BY_ITS_TURNING)
def test_an_inverted_camera_that_turns_slowly_is_told_of(case, scene, body, tmp_path):
    world = seen_from_first_camera(scene) if case in OF_FIRST_CAMERA else scene

    (doubt,) = (
        line for line in import_notes(read(case(Files(world, body, tmp_path)))) if line.startswith("camera_turn: ")
    )

    assert "with its inverse by 5: inverted extrinsics, or somebody who walks on an arc" in doubt


def test_a_lens_that_looks_through_the_middle_more_or_less_passes():
    check_lens(constant_lens(FOCAL, np.array([0.6 * WIDTH, 0.4 * HEIGHT]), FRAMES), (WIDTH, HEIGHT), "cameras.npz")
    with pytest.raises(DiffoptError, match=r"cameras\.npz: the principal point is \(360, 640\)"):
        check_lens(constant_lens(FOCAL, np.array([HEIGHT / 2, WIDTH / 2]), FRAMES), (WIDTH, HEIGHT), "cameras.npz")
