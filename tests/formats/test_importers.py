"""Every tool's files, written by these tests in the tool's public layout, come back as the filmed scene."""

import json
import pickle
import zlib

import cv2
import numpy as np
import pytest
import torch
from joblib_layout import joblib_bytes

from diffopt.errors import DiffoptError
from diffopt.formats.reading import read, read_all, recognise
from diffopt.motion.motion import Motion
from tests.formats import layouts
from tests.formats.layouts import FOCAL, FPS, FRAMES, HEIGHT, WIDTH


def dump_joblib(path, content, compress=False):
    data = joblib_bytes(content)
    path.write_bytes(zlib.compress(data) if compress else data)
    return path


def dump_pickle(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def dump_npy(path, content):
    np.save(path, content)
    return path


def dump_npz(path, content):
    np.savez(path, **content)
    return path


def dump_torch(path, content):
    torch.save(content, path)
    return path


def dump_video(path, frames=FRAMES):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
    for _ in range(frames):
        writer.write(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    writer.release()
    return path


def joints_c(observation, body):
    """The initial body's joints in the camera frame."""
    pose, orient, transl = (
        torch.from_numpy(np.asarray(one)).float()
        for one in (observation.body_pose, observation.global_orient_c, observation.transl_c)
    )
    motion = Motion.from_axis_angle(pose, orient, transl)
    betas = torch.from_numpy(observation.betas).float()
    return body.joints(motion.body_pose, motion.global_orient, motion.transl, betas).numpy()


def assert_is_the_scene(observation, scene, body, rows=slice(None), hands=True):
    joints = slice(None) if hands else slice(0, 22)
    np.testing.assert_allclose(joints_c(observation, body)[rows, joints], scene.joints_c[rows, joints], atol=2e-3)
    np.testing.assert_allclose(observation.focal_px[rows], FOCAL, rtol=1e-5)
    assert observation.image_size_px.tolist() == [WIDTH, HEIGHT]
    assert observation.num_frames == FRAMES


def assert_same_camera(observation, scene, scale=1.0, turned=None):
    """The camera relative to its first frame: worlds differ from tool to tool."""
    found_turn, found_shift = observation.rotation_w2c, observation.translation_w2c
    found = found_turn @ found_turn[0].T
    np.testing.assert_allclose(found, scene.R @ scene.R[0].T, atol=2e-5)
    centers = -np.einsum("nji,nj->ni", found_turn, found_shift)
    moved = (centers - centers[0]) @ found_turn[0].T
    true = (scene.c2w[1] - scene.c2w[1][0]) @ scene.R[0].T
    np.testing.assert_allclose(moved, scale * true, atol=5e-4)


def test_wham_with_its_keypoints_and_the_video(tmp_path, scene, body):
    bodies = dump_joblib(tmp_path / "wham_output.pkl", layouts.wham(scene, body))
    tracks = {
        0: {"keypoints": scene.keypoints(), "frame_id": np.arange(FRAMES), "bbox": np.ones((FRAMES, 3)),
            "features": torch.zeros(FRAMES, 8)},
    }  # fmt: skip
    tracking = dump_joblib(tmp_path / "tracking_results.pth", tracks)
    video = dump_video(tmp_path / "clip.mp4")

    observation = read([bodies, tracking, video])

    assert (recognise(bodies), recognise(tracking), recognise(video)) == ("wham", "wham", "video")
    assert_is_the_scene(observation, scene, body)
    assert_same_camera(observation, scene)
    np.testing.assert_allclose(observation.keypoints_px, scene.keypoints()[..., :2], atol=1e-2)
    np.testing.assert_allclose(observation.confidence, 0.9, atol=1e-6)
    assert (observation.camera_scale, observation.fps) == ("metric", FPS)
    np.testing.assert_allclose(observation.gravity_w, [0, -1, 0])


def test_wham_needs_the_size_of_the_image(tmp_path, scene, body):
    bodies = dump_joblib(tmp_path / "wham_output.pkl", layouts.wham(scene, body))

    with pytest.raises(DiffoptError, match=r"the size of the image is in none of these files.*give the video"):
        read(bodies)


def test_gvhmr(tmp_path, scene, body):
    results = dump_torch(tmp_path / "hmr4d_results.pt", layouts.gvhmr(scene))
    boxes = dump_torch(
        tmp_path / "bbx.pt", {"bbx_xyxy": torch.from_numpy(scene.boxes()), "bbx_xys": torch.zeros(FRAMES, 3)}
    )
    vitpose = dump_torch(tmp_path / "vitpose.pt", torch.from_numpy(scene.keypoints()).float())

    observation = read([results, vitpose, boxes])

    assert (recognise(results), recognise(boxes), recognise(vitpose)) == ("gvhmr", "gvhmr", "vitpose")
    assert_is_the_scene(observation, scene, body, hands=False)
    assert_same_camera(observation, scene)
    np.testing.assert_allclose(observation.keypoints_px, scene.keypoints()[..., :2], atol=1e-2)
    check = json.loads(observation.provenance)["check"]
    assert len(check) == 2 and max(check.values()) < 0.01


def test_without_any_2d_the_projected_body_stands_in(tmp_path, scene, body):
    observation = read(dump_torch(tmp_path / "hmr4d_results.pt", layouts.gvhmr(scene)))

    assert observation.keypoint_set == "coco17"
    np.testing.assert_allclose(observation.keypoints_px, scene.keypoints()[..., :2], atol=0.5)
    np.testing.assert_allclose(observation.confidence, 0.5)
    notes = json.loads(observation.provenance)
    assert notes["check"] == "no 2D in the files to check against" and "stands in" in notes["keypoints"]


@pytest.mark.parametrize("compress", [True, False])
def test_phalp_with_vitpose_and_droid(tmp_path, scene, body, compress):
    bodies = dump_joblib(tmp_path / "demo_vid.pkl", layouts.phalp(scene), compress)
    keypoints = dump_pickle(tmp_path / "vitpose.pkl", layouts.vitpose_list(scene))
    camera = dump_npy(tmp_path / "traj.npy", layouts.droid(scene))

    observation = read([bodies, keypoints, camera])

    assert [recognise(one) for one in (bodies, keypoints, camera)] == ["phalp", "vitpose", "slam"]
    assert_is_the_scene(observation, scene, body)
    assert_same_camera(observation, scene, scale=1 / 3)
    assert observation.camera_scale == "unknown"
    np.testing.assert_allclose(observation.keypoints_px, scene.keypoints()[..., :2], atol=1e-2)


def test_gaps_are_filled_and_marked_and_ghosts_are_not_seen(tmp_path, scene, body):
    rows = [*range(3, 12), *range(15, 30)]
    bodies = dump_joblib(tmp_path / "demo_vid.pkl", layouts.phalp(scene, rows, ghosts=(12, 13)))

    observation = read(bodies)

    assert np.flatnonzero(observation.frame_valid).tolist() == rows
    assert_is_the_scene(observation, scene, body, rows=rows)
    found = joints_c(observation, body)
    # Straight between the ends of a gap, held outside.
    np.testing.assert_allclose(found[12:15, 0], np.linspace(found[11, 0], found[15, 0], 5)[1:4], atol=1e-5)
    np.testing.assert_allclose(found[[0, 1, 2]], found[[3, 3, 3]], atol=1e-5)
    np.testing.assert_allclose(found[30:], found[[29] * 10], atol=1e-5)


def test_tram_in_three_files(tmp_path, scene, body):
    rows = np.array([*range(0, 18), *range(22, FRAMES)])
    camera = dump_npy(tmp_path / "camera.npy", layouts.tram_camera(scene))
    track = dump_npy(tmp_path / "hps_track_0.npy", layouts.tram_track(scene, rows))
    tracks = dump_npy(tmp_path / "tracks.npy", layouts.tram_tracks(scene))

    observation = read([track, camera, tracks])

    assert {recognise(one) for one in (camera, track, tracks)} == {"tram"}
    assert_is_the_scene(observation, scene, body, rows=rows)
    assert_same_camera(observation, scene)
    assert np.flatnonzero(~observation.frame_valid).tolist() == [18, 19, 20, 21]
    assert list(json.loads(observation.provenance)["check"]) == ["the boxes of tracks.npy"]


def test_tram_as_npz_for_emdb(tmp_path, scene, body):
    camera = dump_npz(tmp_path / "cam.npz", {key: np.asarray(one) for key, one in layouts.tram_camera(scene).items()})
    track = {
        key: np.asarray(one) for key, one in layouts.tram_track(scene, np.arange(FRAMES)).items() if key != "frame"
    }

    assert_is_the_scene(read([dump_npz(tmp_path / "smpl.npz", track), camera]), scene, body)


def test_slahmr_with_two_people(tmp_path, scene, body):
    results = dump_npz(tmp_path / "clip_000300_world_results.npz", layouts.slahmr_results(scene))
    vitpose = dump_pickle(tmp_path / "vitpose.pkl", layouts.vitpose_list(scene))

    everyone = read_all([results])
    observation = read([results, vitpose], person=0)

    assert recognise(results) == "slahmr"
    assert list(everyone) == ["0", "1"]
    assert_is_the_scene(observation, scene, body, hands=False)
    np.testing.assert_allclose(observation.rotation_w2c, scene.R, atol=1e-5)
    np.testing.assert_allclose(observation.translation_w2c, scene.t, atol=1e-5)
    apart = joints_c(everyone["1"], body) - joints_c(everyone["0"], body)
    np.testing.assert_allclose(apart[:, 0], scene.R @ [0.5, 0, 0], atol=1e-4)
    np.testing.assert_array_equal(everyone["0"].translation_w2c, everyone["1"].translation_w2c)


def test_slahmrs_track_info_says_who_is_seen_when(tmp_path, scene, body):
    results = dump_npz(tmp_path / "clip_000300_world_results.npz", layouts.slahmr_results(scene))
    masks = np.ones((2, FRAMES + 5), bool)  # over the whole video; the result starts at its frame 5
    masks[0, 15:18] = False
    tracks = {str(track): {"index": row, "vis_mask": masks[row].tolist()} for row, track in enumerate((4, 9))}
    meta = {"seq_interval": [5, FRAMES + 5], "data_interval": [0, FRAMES + 5]}
    (tmp_path / "track_info.json").write_text(json.dumps({"tracks": tracks, "meta": meta}))

    everyone = read_all([results, tmp_path / "track_info.json"])

    assert list(everyone) == ["1", "0"]
    assert everyone["1"].frame_valid.all()
    assert np.flatnonzero(~everyone["0"].frame_valid).tolist() == [10, 11, 12]


def test_slahmrs_slam_camera_beside_other_bodies(tmp_path, scene, body):
    camera = dump_npz(tmp_path / "cameras.npz", layouts.slahmr_cameras(scene))
    bodies = dump_joblib(tmp_path / "demo_vid.pkl", layouts.phalp(scene))

    observation = read([bodies, camera])

    assert_is_the_scene(observation, scene, body)
    assert_same_camera(observation, scene, scale=0.5)
    assert observation.camera_scale == "unknown"


def test_prompthmr(tmp_path, scene, body):
    results = dump_joblib(tmp_path / "results.pkl", layouts.prompthmr(scene))

    observation = read(results)

    assert recognise(results) == "prompthmr"
    assert_is_the_scene(observation, scene, body, hands=False)
    assert_same_camera(observation, scene)
    assert observation.keypoint_set == "openpose25"
    np.testing.assert_allclose(observation.keypoints_px[:, 0], scene.keypoints("openpose25")[:, 0, :2], atol=1e-2)


def test_emdb_is_the_truth(tmp_path, scene, body):
    truth = dump_pickle(tmp_path / "P9_80_outdoor_walk_data.pkl", layouts.emdb(scene))

    observation = read(truth)

    assert recognise(truth) == "emdb"
    assert_is_the_scene(observation, scene, body)
    assert observation.camera_trust == "known" and observation.has_truth and observation.has_truth_camera
    np.testing.assert_allclose(observation.truth_global_orient, scene.rotvec[:, 0], atol=1e-5)
    pelvis = observation.truth_transl + body.rest_joints(torch.zeros(10))[0].numpy()
    np.testing.assert_allclose(pelvis, scene.pelvis, atol=1e-5)
    np.testing.assert_allclose(observation.truth_translation_w2c, scene.t, atol=1e-5)
    assert np.flatnonzero(observation.confidence.max(axis=1) == 0).tolist() == [5, 6, 7]


def test_emdbs_truth_beside_another_tools_bodies(tmp_path, scene, body):
    """The truth's keypoints are projections of the truth: never the input of a fit."""
    truth = dump_pickle(tmp_path / "P9_80_data.pkl", layouts.emdb(scene))
    bodies = dump_torch(tmp_path / "hmr4d_results.pt", layouts.gvhmr(scene))

    observation = read([truth, bodies])

    assert observation.has_truth and observation.keypoint_set == "coco17"
    assert observation.camera_trust == "estimated"
    assert json.loads(observation.provenance)["camera"] == "from the same body in the camera frame and in the world"


def test_hybrik(tmp_path, scene, body):
    results = dump_pickle(tmp_path / "res.pk", layouts.hybrik(scene))

    observation = read(results)

    assert recognise(results) == "hybrik"
    assert_is_the_scene(observation, scene, body)
    assert observation.keypoint_set == "smpl24"
    np.testing.assert_allclose(observation.keypoints_px[:, :12], scene.keypoints("smpl24")[:, :12, :2], atol=0.05)
    assert (observation.confidence[:, [15, 22, 23]] == 0).all()


def test_vibe(tmp_path, scene, body):
    results = dump_joblib(tmp_path / "vibe_output.pkl", layouts.vibe(scene))

    observation = read(results)

    assert recognise(results) == "vibe"
    assert_is_the_scene(observation, scene, body)
    assert observation.keypoint_set == "coco17" and observation.confidence.max() == 0.5


def test_glamr(tmp_path, scene, body):
    results = dump_pickle(tmp_path / "clip_seed1.pkl", layouts.glamr(scene))

    observation = read(results)

    assert recognise(results) == "glamr"
    assert_is_the_scene(observation, scene, body)
    assert_same_camera(observation, scene)
    np.testing.assert_allclose(observation.gravity_w, [0, 0, -1])


@pytest.mark.parametrize("kind", ["npy", "pt", "joblib", "tum frames", "tum seconds"])
def test_camera_paths_in_every_container(tmp_path, scene, body, kind):
    trajectory = layouts.droid(scene).astype(np.float64)
    path = tmp_path / "slam_results.pth"
    if kind == "npy":
        path = dump_npy(tmp_path / "slam.npy", trajectory)
    elif kind == "pt":
        dump_torch(path, trajectory)
    elif kind == "joblib":
        dump_joblib(path, trajectory)
    else:
        times = np.arange(FRAMES) / (1 if kind == "tum frames" else FPS)
        rows = np.column_stack([times, trajectory])
        kept = np.delete(rows, [4, 5], axis=0)  # key frames only
        np.savetxt(path, kept, header="timestamp tx ty tz qx qy qz qw")
    bodies = dump_joblib(tmp_path / "demo_vid.pkl", layouts.phalp(scene))

    observation = read([bodies, path])

    assert recognise(path) == "slam"
    if kind.startswith("tum"):
        turns = observation.rotation_w2c[[0, 1, 2, 3, *range(6, FRAMES)]]
        np.testing.assert_allclose(turns, np.delete(scene.R @ scene.R[0].T, [4, 5], axis=0), atol=2e-5)
        if kind == "tum seconds":
            assert observation.fps == pytest.approx(FPS, rel=1e-4)
    else:
        assert_same_camera(observation, scene, scale=1 / 3)


def openpose_folder(tmp_path, scene, flat=True):
    folder = tmp_path / "openpose"
    folder.mkdir()
    for frame, points in enumerate(scene.keypoints("openpose25")):
        values = points.ravel().tolist() if flat else points.tolist()
        person = {"person_id": [-1], "pose_keypoints_2d": values, "face_keypoints_2d": []}
        entry = {"version": 1.3, "people": [person] if frame != 6 else []}
        (folder / f"clip_{frame + 100:012d}_keypoints.json").write_text(json.dumps(entry))
    return folder


def mmpose_json(tmp_path, scene):
    entries = [
        {
            "frame_id": frame + 1,
            "instances": [{"keypoints": points[:, :2].tolist(), "keypoint_scores": points[:, 2].tolist()}],
        }
        for frame, points in enumerate(scene.keypoints())
    ]
    (tmp_path / "mm.json").write_text(json.dumps({"meta_info": {"dataset_name": "coco"}, "instance_info": entries}))
    return tmp_path / "mm.json"


def easy_json(tmp_path, scene):
    coco25 = "nose left_eye right_eye left_ear right_ear neck left_shoulder right_shoulder left_elbow right_elbow "
    coco25 += "left_wrist right_wrist left_hip right_hip hip left_knee right_knee left_ankle right_ankle left_big_toe "
    names = (coco25 + "left_small_toe left_heel right_big_toe right_small_toe right_heel").split()
    from diffopt.observation.keypoint_sets import SURFACE_NAMES

    points = np.zeros((FRAMES, 25, 3))
    for row, name in enumerate(names):
        if name in SURFACE_NAMES:
            points[:, row] = scene.keypoints("coco23")[:, SURFACE_NAMES.index(name)]
    frames = [{"0": one[:, [1, 0, 2]].tolist()} for one in points]
    content = {"keypoints": frames, "skeleton": {str(row): name for row, name in enumerate(names)}}
    (tmp_path / "easy.json").write_text(json.dumps(content))
    return tmp_path / "easy.json"


def alphapose_json(tmp_path, scene):
    content = [
        {"image_id": f"{frame}.jpg", "category_id": 1, "keypoints": points.ravel().tolist(), "score": 2.9, "idx": 1}
        for frame, points in enumerate(scene.keypoints())
    ]
    (tmp_path / "alphapose-results.json").write_text(json.dumps(content))
    return tmp_path / "alphapose-results.json"


@pytest.mark.parametrize(
    ("write", "name", "keypoint_set"),
    [
        (openpose_folder, "openpose", "openpose25"),
        (mmpose_json, "vitpose", "coco17"),
        (easy_json, "vitpose", "coco23"),
        (alphapose_json, "openpose", "coco17"),
    ],
)
def test_detectors(tmp_path, scene, body, write, name, keypoint_set):
    path = write(tmp_path, scene)
    bodies = dump_torch(tmp_path / "hmr4d_results.pt", layouts.gvhmr(scene))

    observation = read([bodies, path])

    assert recognise(path) == name and observation.keypoint_set == keypoint_set
    seen = observation.confidence > 0
    np.testing.assert_allclose(observation.keypoints_px[seen], scene.keypoints(keypoint_set)[..., :2][seen], atol=1e-2)
    lost = np.flatnonzero(~seen.any(axis=1)).tolist()
    assert lost == ([6] if name == "openpose" and keypoint_set == "openpose25" else [])


def test_the_longest_track_is_taken_unless_another_is_asked_for(tmp_path, scene, body):
    content = layouts.wham(scene, body, range(5, 20))
    content[9] = layouts.wham(scene, body, range(2, 38))[0]
    bodies = dump_joblib(tmp_path / "wham_output.pkl", content)
    video = dump_video(tmp_path / "clip.mp4")

    def seen(person):
        return int(read([bodies, video], person=person).frame_valid.sum())

    assert (seen(None), seen(9), seen("0")) == (36, 36, 15)
    assert {name: int(one.frame_valid.sum()) for name, one in read_all([bodies, video]).items()} == {"9": 36, "0": 15}
    with pytest.raises(DiffoptError, match=r"no person '4'; found 9 \(36 frames\), 0 \(15 frames\)"):
        seen(4)


def test_an_observation_is_read_as_it_is(tmp_path, scene, body):
    observation = read(dump_torch(tmp_path / "hmr4d_results.pt", layouts.gvhmr(scene)))
    path = observation.save(tmp_path / "observation.npz")

    assert recognise(path) == "observation"
    np.testing.assert_array_equal(read(path).body_pose, observation.body_pose)


def test_a_strangers_keypoints_are_not_taken(tmp_path, scene, body):
    detections = layouts.vitpose_list(scene)
    del detections[6][1]  # only the stranger is left
    bodies = dump_joblib(tmp_path / "demo_vid.pkl", layouts.phalp(scene))

    observation = read([bodies, dump_pickle(tmp_path / "vitpose.pkl", detections)])

    assert np.flatnonzero((observation.confidence == 0).all(axis=1)).tolist() == [6]
    assert np.isnan(observation.keypoints_px[6]).all()
