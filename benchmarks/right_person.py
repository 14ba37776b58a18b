"""Is the person followed whom a clip is about? Clips with reference boxes, by the finders and by BlazePose alone.

    python benchmarks/right_person.py FOLDER

A folder holds `NAME.mp4` and `NAME.boxes.npz` with `WHO_frames` (N,) and `WHO_boxes_px` (N, 4) for one or more people;
`main` is whom the clip is about. Printed is the share of these frames in which a box overlaps the reference by 0.4 of
their union or more: of BlazePose finding and following somebody on its own, of the track taken by default, of the one
named by a point in the middle of a reference box, and of the body that was read along that. Seconds are of one core.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from rich.progress import Progress

from diffopt.frontend.blazepose import BlazePose
from diffopt.frontend.boxes import enlarged, overlap
from diffopt.frontend.choice import choose
from diffopt.frontend.keypoints import track_person
from diffopt.frontend.people import find_people
from diffopt.frontend.thunder import Thunder
from diffopt.frontend.video import Video, open_video

RIGHT = 0.4
BODY_MARGIN = 0.05
"""Skin and clothes stand out beyond the keypoints by about this share of the body's size."""
SILENT = Progress(disable=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Share of frames in which the right person is followed.")
    parser.add_argument("folder", type=Path, help="clips and their reference boxes")
    clips = sorted(parser.parse_args().folder.glob("*.boxes.npz"))
    print(f"{'clip':24} {'BlazePose':>9} {'default':>8} {'named':>8} {'read':>8} {'found s':>8} {'read s':>8}")
    for boxes in clips:
        measure(boxes.with_name(boxes.name.replace(".boxes.npz", ".mp4")), boxes)


def measure(path: Path, boxes: Path) -> None:
    """Print one line for each person with reference boxes; seconds are for each frame."""
    video, blazepose = open_video(path), BlazePose(threads=1)
    alone = bodies(follow_alone(video, blazepose))
    started = time.perf_counter()
    people = find_people(video, 2.0, SILENT)
    found_s = (time.perf_counter() - started) / video.num_frames
    by_default = people.boxes(choose(people, None, video).person, video.num_frames)
    reference = np.load(boxes)
    for who in sorted(name.removesuffix("_frames") for name in reference.files if name.endswith("_frames")):
        frames, wanted = reference[f"{who}_frames"], reference[f"{who}_boxes_px"].astype(float)
        middle = len(frames) // 2
        x, y = (wanted[middle, :2] + wanted[middle, 2:]) / 2
        person = choose(people, f"{x:.1f},{y:.1f}@{frames[middle]}", video).person
        named, others = people.boxes(person, video.num_frames), people.others(person, video.num_frames)
        started = time.perf_counter()
        read = bodies(track_person(video, blazepose, Thunder(threads=1), named, others, SILENT, who).keypoints_px)
        read_s = (time.perf_counter() - started) / video.num_frames
        shares = (share(each, frames, wanted) for each in (alone, by_default, named, read))
        print(f"{path.stem + ' ' + who:24}  " + " ".join(f"{value:8.0%}" for value in shares), end="")
        print(f" {found_s:8.3f} {read_s:8.3f}")


def follow_alone(video: Video, blazepose: BlazePose) -> Float[ndarray, "T 33 2"]:
    """Keypoints of whomever BlazePose's own finder sees first, found anew whenever lost."""
    keypoints, roi = np.full((video.num_frames, 33, 2), np.nan), None
    for frame, picture in enumerate(video.frames()):
        for fresh in (False, True):
            roi = blazepose.find(picture) if fresh or roi is None else roi
            pose = None if roi is None else blazepose.read(picture, roi)
            if pose is not None and pose.score >= 0.5:
                keypoints[frame] = pose.keypoints_px
                break
        roi = pose.next_roi if pose is not None and pose.score >= 0.5 else None
    return keypoints


def bodies(keypoints_px: Float[ndarray, "T K 2"]) -> Float[ndarray, "T 4"]:
    """Boxes about keypoints; NaN stays."""
    return enlarged(np.concatenate([keypoints_px.min(axis=1), keypoints_px.max(axis=1)], axis=1), BODY_MARGIN)


def share(boxes_px: Float[ndarray, "T 4"], frames: ndarray, wanted: Float[ndarray, "N 4"]) -> float:
    there = np.nan_to_num(boxes_px[frames], nan=-1.0)
    return float(np.mean([overlap(a[None], b[None])[0, 0] >= RIGHT for a, b in zip(there, wanted, strict=True)]))


if __name__ == "__main__":
    main()
