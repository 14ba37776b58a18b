"""How far keypoints are from the truth: BlazePose alone, and with Thunder's second opinion, before and after cleaning.

    python benchmarks/keypoint_errors.py FOLDER

A folder holds `cam01.mp4` and so on, of cameras that stand, and `truth.npz`: of each the matrix `K` (V, 3, 3), OpenCV's
distortion `dist` (V, 5) and the pose `R` (V, 3, 3), `t` (V, 3) from the world, and triangulated `joints3d` (T, J, 3) in
metres, COCO's 17 first. Printed are the median and the 90 % quantile of the errors of shoulders, elbows, wrists, hips,
knees and ankles, in percent of a person of 1.7 m there, the share of errors beyond 10 %, frames in which left and
right were exchanged, and seconds for each frame.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.progress import Progress

from diffopt.frontend.blazepose import BlazePose, Roi
from diffopt.frontend.cleaning import clean_track
from diffopt.frontend.keypoints import track_person
from diffopt.frontend.people import find_people
from diffopt.frontend.thunder import Points, Thunder
from diffopt.frontend.video import open_video
from diffopt.observation.keypoint_sets import COCO17, KEYPOINT_SETS

HEIGHT_M = 1.7
GROSS = 10.0
COCO = slice(5, 17)
BLAZEPOSE = [KEYPOINT_SETS["blazepose33"].index((name,)) for name in COCO17[COCO]]
SILENT = Progress(disable=True)


class NoOpinion(Thunder):
    """Sees nothing."""

    def __init__(self) -> None: ...

    def read(self, picture: ndarray, roi: Roi) -> Points:
        return Points(np.tile(roi.center_px, (17, 1)), np.zeros(17))


def main() -> None:
    parser = argparse.ArgumentParser(description="Errors of keypoints on films with known joints.")
    parser.add_argument("folder", type=Path, help="films of one person and truth.npz")
    folder = parser.parse_args().folder
    truth = np.load(folder / "truth.npz")
    print(f"{'film':8} {'readers':10}  as read: median, 90 %, gross    cleaned: median, 90 %, gross  exchanged  s")
    for view, path in enumerate(sorted(folder.glob("cam[0-9]*.mp4"))):
        camera = {name: truth[name][view] for name in ("K", "dist", "R", "t")}
        measure(path, *project(truth["joints3d"][:, COCO].astype(float), **camera))


def project(
    joints_w: Float[ndarray, "T 12 3"], K: ndarray, dist: ndarray, R: ndarray, t: ndarray
) -> tuple[Float[ndarray, "T 12 2"], Float[ndarray, "T"]]:
    """Joints in pixels, and the height of a person there."""
    pixels, _ = cv2.projectPoints(joints_w.reshape(-1, 3), cv2.Rodrigues(R)[0], t, K, dist)
    depth = np.nanmedian(joints_w @ R[2] + t[2], axis=1)
    return pixels.reshape(*joints_w.shape[:2], 2), HEIGHT_M * K[1, 1] / depth


def measure(path: Path, joints_px: Float[ndarray, "T 12 2"], height_px: Float[ndarray, "T"]) -> None:
    """Print a line for each way of reading the first person."""
    video = open_video(path)
    people = find_people(video, 2.0, SILENT)
    boxes, others = people.boxes(1, video.num_frames), people.others(1, video.num_frames)
    for name, second in (("BlazePose", NoOpinion()), ("both", Thunder(threads=1))):
        started = time.perf_counter()
        track = track_person(video, BlazePose(threads=1), second, boxes, others, SILENT, name)
        seconds = (time.perf_counter() - started) / video.num_frames
        clean = clean_track(track, video.fps, video.width, video.height)
        trusted = np.where(clean.confidence[..., None] > 0, clean.keypoints_px, np.nan)
        print(f"{path.stem:8} {name:10}", end="")
        for keypoints in (track.keypoints_px, trusted):
            away = np.linalg.norm(keypoints[:, BLAZEPOSE] - joints_px, axis=-1) / height_px[:, None] * 100
            away = away[np.isfinite(away)]
            print(f"  {np.median(away):16.2f} {np.quantile(away, 0.9):6.1f} {(away > GROSS).mean():6.1%}", end="")
        print(f" {clean.swapped_frames:9} {seconds:6.3f}")


if __name__ == "__main__":
    main()
