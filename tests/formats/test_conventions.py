"""Files in which one convention is wrong are refused, and the error names the convention."""

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from diffopt.errors import DiffoptError
from diffopt.formats import assemble
from diffopt.formats.camera_checks import check_camera_turn
from diffopt.formats.reading import read
from tests.formats import layouts
from tests.formats.layouts import FOCAL, FRAMES, HEIGHT, SMPL_PELVIS, SMPLX_PELVIS, WIDTH
from tests.formats.test_importers import dump_joblib, dump_npy, dump_npz, dump_pickle, dump_torch, dump_video


def invert(turn, shift):
    back = np.swapaxes(turn, -1, -2)
    return back, -np.einsum("...ij,...j->...i", back, shift)


def emdb_inverted(scene, tmp_path):
    content = layouts.emdb(scene)
    content["camera"]["extrinsics"] = np.linalg.inv(content["camera"]["extrinsics"])
    return [dump_pickle(tmp_path / "a_data.pkl", content)], "inverted extrinsics"


def emdb_root(scene, tmp_path):
    content = layouts.emdb(scene)
    content["smpl"]["trans"] = scene.pelvis
    return [dump_pickle(tmp_path / "a_data.pkl", content)], "root position instead of transl"


def emdb_millimetres(scene, tmp_path):
    content = layouts.emdb(scene)
    content["smpl"]["trans"] = 1000 * content["smpl"]["trans"]
    content["camera"]["extrinsics"][:, :3, 3] *= 1000
    return [dump_pickle(tmp_path / "a_data.pkl", content)], "millimetres"


def emdb_crop(scene, tmp_path):
    content = layouts.emdb(scene)
    box = scene.boxes()[0]
    side = (box[2:] - box[:2]).max()
    content["camera"]["intrinsics"] = np.array([[FOCAL * 224 / side, 0, 112], [0, FOCAL * 224 / side, 112], [0, 0, 1]])
    return [dump_pickle(tmp_path / "a_data.pkl", content)], "crop intrinsics"


def emdb_size(scene, tmp_path):
    content = layouts.emdb(scene)
    content["camera"]["intrinsics"][:2, 2] = [HEIGHT / 2, WIDTH / 2]
    return [dump_pickle(tmp_path / "a_data.pkl", content)], "swapped image size"


def glamr_inverted(scene, tmp_path):
    content = layouts.glamr(scene)
    content["cam_pose"] = np.linalg.inv(content["cam_pose"])
    return [dump_pickle(tmp_path / "a.pkl", content)], "inverted extrinsics"


def slahmr_inverted(scene, tmp_path):
    content = layouts.slahmr_results(scene)
    content["cam_R"], content["cam_t"] = invert(content["cam_R"], content["cam_t"])
    vitpose = dump_torch(tmp_path / "vitpose.pt", torch.from_numpy(scene.keypoints()).float())
    return [dump_npz(tmp_path / "a_world_results.npz", content), vitpose], "inverted extrinsics"


def weak_camera(scene, rest):
    """Scale and shift of the square crop around the person: what the networks predict."""
    boxes = scene.boxes()
    side, center = (boxes[:, 2:] - boxes[:, :2]).max(axis=1), (boxes[:, :2] + boxes[:, 2:]) / 2
    transl = scene.pelvis_c - rest
    shift = transl[:, :2] - (center - [WIDTH / 2, HEIGHT / 2]) * transl[:, 2:] / FOCAL
    return np.column_stack([2 * FOCAL / (side * transl[:, 2]), shift])


def phalp_crop(scene, tmp_path):
    """`camera_bbox` in the place of `camera`."""
    content, camera = layouts.phalp(scene), weak_camera(scene, SMPL_PELVIS)
    for entry in content.values():
        entry["camera"][0] = camera[entry["time"]]
    return [dump_joblib(tmp_path / "a.pkl", content)], r"crop intrinsics \(a crop's scale and shift as position\)"


def phalp_corners(scene, tmp_path):
    content = layouts.phalp(scene)
    for entry in content.values():
        entry["bbox"][0] = scene.boxes()[entry["time"]]
    return [dump_joblib(tmp_path / "a.pkl", content)], "boxes with corners"


def wham_yx(scene, tmp_path, body):
    tracks = {
        0: {"keypoints": scene.keypoints()[..., [1, 0, 2]], "frame_id": np.arange(FRAMES), "bbox": np.ones((FRAMES, 3))}
    }
    files = [
        dump_joblib(tmp_path / "wham_output.pkl", layouts.wham(scene, body)),
        dump_joblib(tmp_path / "tracking_results.pth", tracks),
        dump_video(tmp_path / "clip.mp4"),
    ]
    return files, "swapped keypoint coordinates"


def gvhmr_crop(scene, tmp_path):
    """Each frame with the intrinsics of its own crop."""
    content = layouts.gvhmr(scene)
    boxes = scene.boxes()
    side = (boxes[:, 2:] - boxes[:, :2]).max(axis=1)
    left_top = (boxes[:, :2] + boxes[:, 2:]) / 2 - side[:, None] / 2
    crop = np.tile(np.eye(3), (FRAMES, 1, 1))
    crop[:, 0, 0] = crop[:, 1, 1] = FOCAL * 256 / side
    crop[:, :2, 2] = (np.array([WIDTH / 2, HEIGHT / 2]) - left_top) * 256 / side[:, None]
    content["K_fullimg"] = torch.from_numpy(crop).float()
    vitpose = dump_torch(tmp_path / "vitpose.pt", torch.from_numpy(scene.keypoints()).float())
    return [dump_torch(tmp_path / "hmr4d_results.pt", content), vitpose], "crop intrinsics"


def gvhmr_root(scene, tmp_path):
    content = layouts.gvhmr(scene)
    content["smpl_params_incam"]["transl"] += torch.from_numpy(SMPLX_PELVIS).float()
    vitpose = dump_torch(tmp_path / "vitpose.pt", torch.from_numpy(scene.keypoints()).float())
    return [dump_torch(tmp_path / "hmr4d_results.pt", content), vitpose], "root position instead of transl"


def gvhmr_opengl(scene, tmp_path):
    content = layouts.gvhmr(scene)
    flip = np.diag([1.0, -1.0, -1.0])
    params = content["smpl_params_incam"]
    turned = Rotation.from_matrix(flip @ scene.rotmats_c[:, 0]).as_rotvec()
    params["global_orient"] = torch.from_numpy(turned).float()
    params["transl"] = torch.from_numpy(scene.pelvis_c @ flip - SMPLX_PELVIS).float()
    vitpose = dump_torch(tmp_path / "vitpose.pt", torch.from_numpy(scene.keypoints()).float())
    return [dump_torch(tmp_path / "hmr4d_results.pt", content), vitpose], "OpenGL axes"


def gvhmr_normalised(scene, tmp_path):
    points = scene.keypoints() / [WIDTH, HEIGHT, 1]
    vitpose = dump_torch(tmp_path / "vitpose.pt", torch.from_numpy(points).float())
    return [dump_torch(tmp_path / "hmr4d_results.pt", layouts.gvhmr(scene)), vitpose], "normalised keypoints"


def prompthmr_crop(scene, tmp_path):
    content = layouts.prompthmr(scene)
    content["people"][3]["smplx_cam"]["trans"] = weak_camera(scene, SMPLX_PELVIS)
    return [dump_joblib(tmp_path / "results.pkl", content)], r"crop intrinsics \(a crop's scale and shift as position\)"


def hybrik_camsys(scene, tmp_path):
    """`transl_camsys`, which belongs to the crop's focal length, in the place of `transl`."""
    content = layouts.hybrik(scene)
    side = content["bbox"][:, 2] - content["bbox"][:, 0]
    content["transl"] = content["transl"] * 256 / side[:, None]
    return [dump_pickle(tmp_path / "res.pk", content)], r"crop intrinsics \(position scaled to a crop\)"


def vibe_orig(scene, tmp_path):
    """The full frame's camera in the place of the crop's."""
    content = layouts.vibe(scene)
    content[1]["pred_cam"] = content[1]["orig_cam"][:, [0, 2, 3]]
    return [dump_joblib(tmp_path / "vibe_output.pkl", content)], "does not fall on the file's own keypoints"


def droid_swapped(scene, tmp_path):
    poses = layouts.droid(scene)[:, [0, 1, 2, 6, 3, 4, 5]]
    files = [dump_joblib(tmp_path / "demo.pkl", layouts.phalp(scene)), dump_npy(tmp_path / "traj.npy", poses)]
    return files, r"traj\.npy \(slam\): swapped quaternion order"


def droid_quaternion_first(scene, tmp_path):
    poses = layouts.droid(scene)[:, [3, 4, 5, 6, 0, 1, 2]]
    files = [dump_joblib(tmp_path / "demo.pkl", layouts.phalp(scene)), dump_npy(tmp_path / "traj.npy", poses)]
    return files, "the quaternion comes first"


CASES = [
    value for value in list(globals().values()) if getattr(value, "__module__", "") == __name__ and callable(value)
]


@pytest.mark.parametrize(
    "case", [one for one in CASES if one.__name__ not in ("invert", "weak_camera")], ids=lambda one: one.__name__
)
def test_a_wrong_convention_is_named(tmp_path, scene, body, case):
    files, message = case(scene, tmp_path, body) if case.__name__ == "wham_yx" else case(scene, tmp_path)

    with pytest.raises(DiffoptError, match=message) as error:
        read(files)

    print(f"\n{case.__name__}: {str(error.value).replace(str(tmp_path) + '/', '')}")


def panning(turn_deg, frames=60):
    """A camera that turns about the vertical, and a person who keeps facing the same way in the world."""
    turn = Rotation.from_rotvec(np.outer(np.radians(np.linspace(0, turn_deg, frames)), [0, 1, 0])).as_matrix()
    return turn, turn @ Rotation.from_euler("y", 40, degrees=True).as_matrix()


def test_an_inverted_camera_path_turns_the_person():
    turn, orient = panning(60)

    assert check_camera_turn(turn, orient, 30.0, "traj.npy") is None
    with pytest.raises(DiffoptError, match=r"traj\.npy: .*turns by 31 degrees.* by 0: inverted extrinsics"):
        check_camera_turn(np.swapaxes(turn, 1, 2), orient, 30.0, "traj.npy")


def test_the_camera_in_the_bodys_own_file_is_looked_at_too(tmp_path, scene, monkeypatch):
    seen = []
    monkeypatch.setattr(assemble, "check_camera_turn", lambda *found: seen.append(found[3]))
    prompthmr = dump_joblib(tmp_path / "results.pkl", layouts.prompthmr(scene))

    read(prompthmr)
    read(dump_pickle(tmp_path / "a.pkl", layouts.glamr(scene)))  # in the world: seen by projecting

    assert seen == [str(prompthmr)]


def test_a_camera_that_hardly_turns_tells_nothing():
    turn, orient = panning(6)

    assert check_camera_turn(np.swapaxes(turn, 1, 2), orient, 30.0, "traj.npy") is None


def test_who_walks_on_an_arc_while_the_camera_turns_the_other_way_is_told_of_and_not_refused():
    turn, _ = panning(15)
    facing = Rotation.from_rotvec(np.outer(np.radians(np.linspace(0, -30, 60)), [0, 1, 0])).as_matrix()

    doubt = check_camera_turn(turn, turn @ facing, 30.0, "traj.npy")

    assert doubt.startswith("traj.npy: with this camera the person turns by 8 degrees in every 0.5 s, with its inverse")


def test_files_of_different_videos_are_refused(tmp_path, scene):
    bodies = dump_joblib(tmp_path / "demo.pkl", layouts.phalp(scene))
    camera = dump_npy(tmp_path / "traj.npy", np.tile(layouts.droid(scene), (2, 1)))

    with pytest.raises(DiffoptError, match=r"traj\.npy: the camera covers 80 frames but the body's file 40"):
        read([bodies, camera])


def test_keypoints_of_other_frames_are_refused(tmp_path, scene):
    bodies = dump_joblib(tmp_path / "demo.pkl", layouts.phalp(scene, range(20, 40)))
    keypoints = dump_torch(tmp_path / "vitpose.pt", torch.from_numpy(scene.keypoints()[:15]).float())

    with pytest.raises(DiffoptError, match="have no frame in common with the person's"):
        read([bodies, keypoints])


def test_files_without_a_body_are_refused(tmp_path, scene):
    keypoints = dump_torch(tmp_path / "vitpose.pt", torch.from_numpy(scene.keypoints()).float())

    with pytest.raises(DiffoptError, match=r"vitpose\.pt: no body in these files"):
        read(keypoints)
    with pytest.raises(DiffoptError, match="a video alone has no body"):
        read(dump_video(tmp_path / "clip.mp4"))


def test_bodies_in_a_world_without_a_camera_are_refused(tmp_path, scene):
    content = {key: one for key, one in layouts.slahmr_results(scene).items() if not key.startswith("cam_")}
    results = dump_npz(tmp_path / "a_phalp_world_results.npz", content)
    camera = dump_npz(tmp_path / "cameras.npz", layouts.slahmr_cameras(scene))

    with pytest.raises(DiffoptError, match="the bodies are in a world but the file has no camera"):
        read([results, camera])


def test_unknown_and_damaged_files_say_what_they_hold(tmp_path, scene):
    other = dump_npz(tmp_path / "other.npz", {"foo": np.zeros(3), "bar": np.zeros(2)})
    lame = layouts.gvhmr(scene)
    del lame["smpl_params_incam"]["transl"]

    with pytest.raises(DiffoptError, match=r"other\.npz: holds a dictionary with foo, bar, which no known tool writes"):
        read(other)
    with pytest.raises(DiffoptError, match=r"lame\.pt: not laid out as gvhmr writes it \(it lacks 'transl'\)"):
        read(dump_torch(tmp_path / "lame.pt", lame))
    with pytest.raises(DiffoptError, match=r"other\.npz: not laid out as wham writes it"):
        read(other, from_format="wham")
    with pytest.raises(DiffoptError, match="'whamm' is no known format; expected one of phalp"):
        read(other, from_format="whamm")
    with pytest.raises(DiffoptError, match="no such file"):
        read(tmp_path / "none.pkl")
