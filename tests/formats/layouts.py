"""One filmed walk, and the dictionaries that the tools of the field would have written of it, key by key.

Written from the tools' public layouts, not from the importers: what those undo is done here the other way round.
"""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from diffopt.body.keypoints import keypoint_regressor
from diffopt.body.model import BodyModel
from diffopt.motion.motion import Motion
from diffopt.simulation.virtual_camera import film
from diffopt.simulation.walk import synthetic_walk

FRAMES, FPS, WIDTH, HEIGHT = 40, 30.0, 1280, 720
FOCAL = float(np.hypot(WIDTH, HEIGHT))
SMPL_PELVIS = np.array([-0.0018, -0.2233, 0.0282])
SMPLX_PELVIS = np.array([0.0031, -0.3514, 0.0120])


@dataclass
class Scene:
    """World: y up, metres. Cameras x_c = R x_w + t."""

    rotvec: np.ndarray  # (T, 24, 3), the root's in the world
    pelvis: np.ndarray  # (T, 3)
    joints: np.ndarray  # (T, 24, 3)
    landmarks_c: np.ndarray  # (T, 47, 3), camera frame
    vertices_c: np.ndarray
    R: np.ndarray
    t: np.ndarray

    @property
    def rotmats_c(self) -> np.ndarray:
        """(T, 24, 3, 3) with the root's in the camera frame."""
        matrices = Rotation.from_rotvec(self.rotvec.reshape(-1, 3)).as_matrix().reshape(FRAMES, 24, 3, 3)
        matrices[:, 0] = self.R @ matrices[:, 0]
        return matrices

    @property
    def rotvec_c(self) -> np.ndarray:
        return Rotation.from_matrix(self.rotmats_c.reshape(-1, 3, 3)).as_rotvec().reshape(FRAMES, 24, 3)

    @property
    def pelvis_c(self) -> np.ndarray:
        return self.to_camera(self.pelvis)

    @property
    def joints_c(self) -> np.ndarray:
        return np.stack([self.to_camera(self.joints[:, joint]) for joint in range(24)], axis=1)

    @property
    def c2w(self) -> tuple[np.ndarray, np.ndarray]:
        back = self.R.transpose(0, 2, 1)
        return back, -np.einsum("nij,nj->ni", back, self.t)

    @property
    def K(self) -> np.ndarray:
        return np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])

    def to_camera(self, points: np.ndarray) -> np.ndarray:
        return np.einsum("nij,nj->ni", self.R, points) + self.t

    def project(self, points_c: np.ndarray) -> np.ndarray:
        pixels = points_c @ self.K.T
        return pixels[..., :2] / pixels[..., 2:]

    def keypoints(self, keypoint_set: str = "coco17") -> np.ndarray:
        """(T, K, 3) with score 0.9."""
        points = self.project(np.einsum("kp,npd->nkd", keypoint_regressor(keypoint_set).numpy(), self.landmarks_c))
        return np.concatenate([points, np.full((*points.shape[:2], 1), 0.9)], axis=-1)

    def boxes(self) -> np.ndarray:
        """(T, 4) left, top, right, bottom."""
        points = self.project(self.vertices_c)
        return np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)


def film_scene(body: BodyModel, seed: int = 4) -> Scene:
    """A walk in an orbit whose side, distance and speed the seed decides."""
    pose, orient, transl, _ = synthetic_walk(body, FRAMES, FPS, seed=3)
    motion = Motion.from_axis_angle(pose.float(), orient.float(), transl.float())
    betas = torch.zeros(10)
    where = (motion.body_pose, motion.global_orient, motion.transl, betas)
    landmarks, vertices = (one.double() for one in (body.landmarks(*where), body.vertices(*where)))
    camera = film("orbit", landmarks[:, 0], FPS, (WIDTH, HEIGHT), np.random.default_rng(seed))
    turn, shift = camera.rotation_w2c.numpy(), camera.translation_w2c.numpy()

    def to_camera(points: torch.Tensor) -> np.ndarray:
        return np.einsum("nij,npj->npi", turn, points.numpy()) + shift[:, None]

    joints = landmarks[:, :24].numpy()
    rotvec = np.concatenate([orient[:, None].numpy(), pose.numpy()], axis=1).astype(np.float64)
    return Scene(rotvec, joints[:, 0], joints, to_camera(landmarks), to_camera(vertices), turn, shift)


def f32(values: np.ndarray) -> np.ndarray:
    return np.asarray(values, np.float32)


def phalp(scene: Scene, rows: range = range(FRAMES), ghosts: tuple[int, ...] = ()) -> dict:
    """`rows` are the frames in which the person is tracked; in `ghosts` the tracker only remembers the last body."""
    focal = 5000.0 / 256.0 * max(WIDTH, HEIGHT)
    pelvis = scene.pelvis_c
    camera = pelvis * [
        1,
        1,
        focal / FOCAL,
    ]  # the same pixels through the longer lens, since both look through the middle
    content: dict = {}
    boxes, matrices = scene.boxes(), scene.rotmats_c
    for frame in range(FRAMES):
        entry: dict = {"time": frame, "shot": 0, "frame_path": f"out/_TMP/vid/{frame + 1:06d}.jpg"}
        keys = ("tracked_ids", "tracked_bbox", "tid", "bbox", "tracked_time", "center", "scale", "size", "img_path")
        keys += ("img_name", "class_name", "conf", "annotations", "smpl", "camera", "camera_bbox", "3d_joints")
        keys += ("2d_joints", "mask", "extra_data")
        entry |= {key: [] for key in keys}
        seen = frame in rows
        if seen or frame in ghosts:
            source = frame if seen else max(row for row in rows if row < frame)
            left, top, right, bottom = boxes[source]
            entry["tid"].append(7)
            entry["tracked_time"].append(0 if seen else frame - source)
            entry["bbox"].append(np.array([left, top, right - left, bottom - top]))
            entry["center"].append(np.array([(left + right) / 2, (top + bottom) / 2]))
            entry["scale"].append(np.array([right - left, bottom - top]))
            entry["size"].append([HEIGHT, WIDTH])
            entry["smpl"].append(
                {
                    "global_orient": f32(matrices[source, :1]),
                    "body_pose": f32(matrices[source, 1:]),
                    "betas": f32(np.full(10, 0.3)),
                }
            )
            entry["camera"].append(f32(camera[source] - SMPL_PELVIS))
            entry["camera_bbox"].append(f32([0.9, 0.01, 0.02]))
            entry["conf"].append(np.float32(0.99))
            entry["class_name"].append(np.int64(0))
            entry["mask"].append({"size": [HEIGHT, WIDTH], "counts": "abc"})
            entry["extra_data"].append(None)
            if seen:
                entry["tracked_ids"].append(7)
                entry["tracked_bbox"].append(entry["bbox"][-1])
        content[entry["frame_path"]] = entry
    return content


def wham(scene: Scene, body: BodyModel, rows: range = range(FRAMES)) -> dict:
    """`trans` is smplx's, `trans_world` the middle of the hips: as WHAM's code stores them."""
    hips = scene.landmarks_c[:, [24 + 11, 24 + 12]].mean(axis=1)
    hips_world = np.einsum("nji,nj->ni", scene.R, hips - scene.t)
    people: dict = defaultdict(dict)
    people[0] = {
        "pose": f32(scene.rotvec_c.reshape(FRAMES, 72))[rows],
        "trans": f32(scene.pelvis_c - SMPL_PELVIS)[rows],
        "pose_world": f32(scene.rotvec.reshape(FRAMES, 72))[rows],
        "trans_world": f32(hips_world)[rows],
        "betas": np.zeros((len(rows), 10), np.float32),
        "verts": np.zeros((len(rows), 5, 3), np.float32),
        "frame_ids": np.arange(FRAMES)[rows],
    }
    return people


def gvhmr(scene: Scene) -> dict:
    def params(rotvec: np.ndarray, pelvis: np.ndarray) -> dict:
        return {
            "body_pose": torch.from_numpy(f32(rotvec[:, 1:22].reshape(FRAMES, 63))),
            "betas": torch.zeros(FRAMES, 10),
            "global_orient": torch.from_numpy(f32(rotvec[:, 0])),
            "transl": torch.from_numpy(f32(pelvis - SMPLX_PELVIS)),
        }

    return {
        "smpl_params_global": params(scene.rotvec, scene.pelvis),
        "smpl_params_incam": params(scene.rotvec_c, scene.pelvis_c),
        "K_fullimg": torch.from_numpy(f32(scene.K)).repeat(FRAMES, 1, 1),
        "net_outputs": {"static_conf_logits": torch.zeros(1, FRAMES, 6)},
    }


def tram_camera(scene: Scene) -> dict:
    turn, center = scene.c2w
    return {
        "pred_cam_R": f32(turn),
        "pred_cam_T": f32(center),
        "world_cam_R": f32(turn),
        "world_cam_T": f32(center),
        "img_focal": np.float64(FOCAL),
        "img_center": np.array([WIDTH / 2, HEIGHT / 2]),
        "spec_focal": torch.tensor([900.0]),
    }


def tram_track(scene: Scene, rows: np.ndarray) -> dict:
    return {
        "pred_cam": torch.zeros(len(rows), 3),
        "pred_pose": torch.zeros(len(rows), 144),
        "pred_shape": torch.zeros(len(rows), 10),
        "pred_rotmat": torch.from_numpy(f32(scene.rotmats_c))[rows],
        "pred_trans": torch.from_numpy(f32(scene.pelvis_c - SMPL_PELVIS))[rows][:, None],
        "frame": torch.from_numpy(rows),
    }


def tram_tracks(scene: Scene) -> np.ndarray:
    boxes = np.concatenate([scene.boxes(), np.full((FRAMES, 1), 0.95)], axis=1)
    entries = [
        {"id": 1, "frame": frame, "det": np.bool_(True), "det_box": boxes[[frame]], "seg_box": boxes[[frame], :4]}
        for frame in range(FRAMES)
    ]
    return np.array({1: entries}, dtype=object)


def slahmr_results(scene: Scene) -> dict:
    pair = scene.rotvec[None].repeat(2, axis=0)
    return {
        "betas": np.zeros((2, 16), np.float32),
        "cam_R": f32(scene.R)[None].repeat(2, axis=0),
        "cam_t": f32(scene.t)[None].repeat(2, axis=0),
        "floor_plane": np.zeros((1, 3), np.float32),
        "intrins": f32([FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2]),
        "latent_pose": np.zeros((2, FRAMES, 32), np.float32),
        "pose_body": f32(pair[:, :, 1:22].reshape(2, FRAMES, 63)),
        "root_orient": f32(pair[:, :, 0]),
        "trans": f32(np.stack([scene.pelvis - SMPL_PELVIS, scene.pelvis - SMPL_PELVIS + [0.5, 0, 0]])),
        "world_scale": np.ones((1, 1), np.float32),
    }


def slahmr_cameras(scene: Scene) -> dict:
    w2c = np.tile(np.eye(4, dtype=np.float32), (FRAMES, 1, 1))
    w2c[:, :3, :3], w2c[:, :3, 3] = scene.R, scene.t / 2
    intrinsics = np.tile(f32([FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2]), (FRAMES, 1))
    return {"height": f32(HEIGHT), "width": f32(WIDTH), "focal": f32(FOCAL), "intrins": intrinsics, "w2c": w2c}


def prompthmr(scene: Scene) -> dict:
    turn, center = scene.c2w
    rotmat = np.tile(np.eye(3, dtype=np.float32), (FRAMES, 55, 1, 1))
    rotmat[:, :22] = scene.rotmats_c[:, :22]
    openpose = scene.keypoints("openpose25")
    person = {
        "track_id": 3,
        "frames": np.arange(FRAMES),
        "bboxes": scene.boxes(),
        "masks": np.zeros((FRAMES, 4, 4), bool),
        "detected": np.ones(FRAMES, bool),
        "keypoints_2d": f32(np.concatenate([openpose, np.zeros((FRAMES, 42, 3))], axis=1)),
        "vitpose": f32(scene.keypoints()),
        "smplx_cam": {
            "rotmat": rotmat,
            "pose": f32(np.zeros((FRAMES, 75))),
            "shape": np.zeros((FRAMES, 10), np.float32),
            "trans": f32(scene.pelvis_c - SMPLX_PELVIS),
            "contact": np.zeros((FRAMES, 6), bool),
            "static_conf_logits": np.zeros((FRAMES, 6), np.float32),
        },
    }
    camera = {
        "pred_cam_R": f32(turn),
        "pred_cam_T": f32(center),
        "img_focal": np.float64(FOCAL),
        "img_center": np.array([WIDTH / 2, HEIGHT / 2]),
    }
    return {"camera": camera, "people": {3: person}, "timings": {}, "masks": None, "has_slam": True}


def emdb(scene: Scene) -> dict:
    extrinsics = np.tile(np.eye(4), (FRAMES, 1, 1))
    extrinsics[:, :3, :3], extrinsics[:, :3, 3] = scene.R, scene.t
    good = np.ones(FRAMES, bool)
    good[5:8] = False
    return {
        "gender": "female",
        "name": "P9_80_outdoor_walk",
        "emdb1": False,
        "emdb2": True,
        "n_frames": FRAMES,
        "good_frames_mask": good,
        "camera": {"intrinsics": scene.K, "extrinsics": extrinsics, "width": WIDTH, "height": HEIGHT},
        "smpl": {
            "poses_root": scene.rotvec[:, 0],
            "poses_body": scene.rotvec[:, 1:].reshape(FRAMES, 69),
            "trans": scene.pelvis - SMPL_PELVIS,
            "betas": np.zeros(10),
        },
        "kp2d": scene.keypoints("smpl24")[..., :2],
        "bboxes": {"bboxes": scene.boxes(), "invalid_idxs": np.flatnonzero(~good)},
    }


def hybrik(scene: Scene) -> dict:
    tight = scene.boxes()
    center, side = (tight[:, :2] + tight[:, 2:]) / 2, 1.25 * (tight[:, 2:] - tight[:, :2]).max(axis=1)
    joints = scene.keypoints("smpl24")[..., :2]
    uvd = np.zeros((FRAMES, 29, 3))
    uvd[:, :24, :2] = (joints - center[:, None]) / side[:, None, None]
    focal = 1000.0 / 256.0 * side
    transl = scene.pelvis_c * np.stack([np.ones(FRAMES), np.ones(FRAMES), focal / FOCAL], axis=1) - SMPL_PELVIS
    return {
        "pred_uvd": f32(uvd.reshape(FRAMES, 87)),
        "pred_scores": np.full((FRAMES, 29), 0.8, np.float32),
        "pred_camera": np.ones((FRAMES, 1), np.float32),
        "pred_betas": np.zeros((FRAMES, 10), np.float32),
        "pred_thetas": f32(scene.rotmats_c.reshape(FRAMES, 216)),
        "pred_cam_root": f32(scene.pelvis_c),
        "transl": f32(transl),
        "transl_camsys": f32(transl),
        "bbox": np.concatenate([center - side[:, None] / 2, center + side[:, None] / 2], axis=1),
        "height": np.full(FRAMES, HEIGHT),
        "width": np.full(FRAMES, WIDTH),
        "img_path": np.array([f"out/raw_images/clip-{frame + 1:06d}.png" for frame in range(FRAMES)]),
    }


def vibe(scene: Scene) -> dict:
    tight = scene.boxes()
    center, side = (tight[:, :2] + tight[:, 2:]) / 2, 1.1 * (tight[:, 2:] - tight[:, :2]).max(axis=1)
    transl = scene.pelvis_c - SMPL_PELVIS
    scale = 2 * FOCAL / (side * transl[:, 2])
    shift = transl[:, :2] - (center - [WIDTH / 2, HEIGHT / 2]) * transl[:, 2:] / FOCAL
    half = np.array([WIDTH / 2, HEIGHT / 2])
    orig_scale = scale[:, None] * side[:, None] / [WIDTH, HEIGHT]
    orig = np.concatenate([orig_scale, (center - half) / half / orig_scale + shift], axis=1)
    points = np.concatenate([scene.keypoints("openpose25")[..., :2], np.zeros((FRAMES, 24, 2))], axis=1)
    return {
        1: {
            "pred_cam": f32(np.column_stack([scale, shift])),
            "orig_cam": f32(orig),
            "verts": np.zeros((FRAMES, 5, 3), np.float32),
            "pose": f32(scene.rotvec_c.reshape(FRAMES, 72)),
            "betas": np.zeros((FRAMES, 10), np.float32),
            "joints3d": np.zeros((FRAMES, 49, 3), np.float32),
            "joints2d": None,
            "joints2d_img_coord": f32(points),
            "bboxes": f32(np.column_stack([center, side, side])),
            "frame_ids": np.arange(FRAMES),
        }
    }


def glamr(scene: Scene) -> dict:
    """A world with z up."""
    up = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    pose = np.tile(np.eye(4), (FRAMES, 1, 1))
    pose[:, :3, :3], pose[:, :3, 3] = scene.R @ up.T, scene.t
    points, score = np.zeros((FRAMES, 26, 2)), np.zeros((FRAMES, 26))
    smpl = scene.keypoints("smpl24")[..., :2]
    pairs = {0: 0, 1: 1, 2: 2, 4: 4, 5: 5, 6: 12, 7: 7, 8: 8, 20: 16, 21: 17, 22: 18, 23: 19, 24: 20, 25: 21}
    for row, joint in pairs.items():
        points[:, row], score[:, row] = smpl[:, joint], 1
    orient = Rotation.from_matrix(up @ Rotation.from_rotvec(scene.rotvec[:, 0]).as_matrix()).as_rotvec()
    person = {
        "visible": np.ones(FRAMES),
        "smpl_pose": f32(scene.rotvec[:, 1:].reshape(FRAMES, 69)),
        "smpl_beta": np.zeros((FRAMES, 10), np.float32),
        "smpl_orient_world": f32(orient),
        "root_trans_world": f32(scene.pelvis @ up.T),
        "kp_2d": f32(points),
        "kp_2d_score": f32(score),
        "cam_K": np.tile(f32(scene.K), (FRAMES, 1, 1)),
    }
    return {"seq_name": "clip", "person_data": {0: person}, "cam_pose": f32(pose), "meta": {"algo": "global_recon"}}


def droid(scene: Scene) -> np.ndarray:
    """(T, 7), camera-to-world, the first camera is the world."""
    turn, center = scene.c2w
    first = turn[0].T
    quaternions = Rotation.from_matrix(first @ turn).as_quat()
    return f32(np.concatenate([(center - center[0]) @ first.T / 3, quaternions], axis=1))


def vitpose_list(scene: Scene) -> list:
    """mmpose: a list per frame; a stranger comes first."""
    boxes = scene.boxes()
    return [
        [
            {"bbox": f32([*(box[:2] + 300), *(box[2:] + 300), 0.9]), "keypoints": f32(points + np.array([300, 0, 0]))},
            {"bbox": f32([*box, 0.9]), "keypoints": f32(points)},
        ]
        for box, points in zip(boxes, scene.keypoints(), strict=True)
    ]
