"""4DHumans / PHALP `results/demo_*.pkl`: joblib, zlib-compressed, one entry per frame of the video.

Convention: `smpl` are rotation matrices in the camera frame; `camera` is smplx's `transl` for a focal length of 5000 on
the image padded to a square and shrunk to 256 pixels, so 5000 / 256 * max(width, height) pixels on the full frame, with
the principal point in the middle of it (a camera 20 image widths away: another focal length moves the body in depth).
`camera_bbox` belongs to the crop and is not read. `size` is [height, width], `bbox` left, top, width, height. Entries
with `tracked_time` above 0 are ghosts: the tracker kept the last body while it did not see the person.
"""

from typing import Any

import numpy as np

from diffopt.formats.parts import Body, Contents, Lens, Person, one_shape, proper_rotations

FOCAL, CROP = 5000.0, 256.0


def matches(content: Any) -> bool:
    """A dictionary by frame whose entries have `tid`, `smpl` and `camera`."""
    if not isinstance(content, dict) or not content:
        return False
    return all(isinstance(entry, dict) and {"tid", "smpl", "camera"} <= entry.keys() for entry in content.values())


def parse(content: Any) -> Contents:
    """All tracks; every frame of the video has an entry, seen or not."""
    rows: dict[int, list[tuple[int, Any, Any, Any, Any]]] = {}
    for order, entry in enumerate(content.values()):
        frame = int(entry.get("time", order))
        for row, track in enumerate(entry["tid"]):
            if "tracked_time" in entry and entry["tracked_time"][row] > 0:
                continue
            one = (frame, entry["smpl"][row], entry["camera"][row], entry["bbox"][row], entry["size"][row])
            rows.setdefault(int(track), []).append(one)
    people, size = [], None
    for track, seen in rows.items():
        seen.sort(key=lambda row: row[0])
        frames, bodies, cameras, boxes, sizes = zip(*seen, strict=True)
        height, width = (int(side) for side in sizes[0])
        size = (width, height)
        xywh = np.asarray(boxes, np.float64)
        people.append(
            Person(
                name=str(track),
                frames=np.asarray(frames),
                body=Body(
                    body_pose=proper_rotations(np.stack([body["body_pose"] for body in bodies]).reshape(-1, 23, 3, 3)),
                    global_orient=proper_rotations(
                        np.stack([body["global_orient"] for body in bodies]).reshape(-1, 3, 3)
                    ),
                    position=np.stack(cameras).reshape(-1, 3).astype(np.float64),
                    betas=one_shape(np.stack([body["betas"] for body in bodies])),
                ),
                lens=Lens(
                    np.full(len(frames), FOCAL / CROP * max(width, height)),
                    np.tile([width / 2, height / 2], (len(frames), 1)),
                ),
                depth_follows_focal=True,
                boxes_px=np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
            )
        )
    return Contents(people=tuple(people), image_size_px=size, num_frames=len(content))
