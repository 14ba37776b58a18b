"""The .bvh is read by a small reader of its own, written from the format and not from the writer."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from diffopt.body.skeleton import JOINT_NAMES
from diffopt.formats import bvh

AXES = {"X": 0, "Y": 1, "Z": 2}


def read_bvh(text: str) -> tuple[dict[str, np.ndarray], float]:
    """Positions of the named joints, (T, 3) each, in the file's unit, and the frame time."""
    head, motion = text.split("MOTION")
    lines = motion.strip().splitlines()
    frames, frame_time = int(lines[0].split(":")[1]), float(lines[1].split(":")[1])
    rows = np.array([[float(number) for number in line.split()] for line in lines[2:]])
    assert len(rows) == frames
    tokens, column = iter(head.split()), 0
    stack, positions, name = [], {}, ""
    for token in tokens:
        if token in ("ROOT", "JOINT"):
            name = next(tokens)
        elif token == "End":
            next(tokens)
            name = ""
        elif token == "OFFSET":
            offset = np.array([float(next(tokens)) for _ in range(3)])
            above, origin = stack[-2] if len(stack) > 1 else (np.eye(3)[None], np.zeros((1, 3)))
            place, turn = origin + above @ offset, above
            stack[-1] = (turn, place)
        elif token == "CHANNELS":
            turn, place = stack[-1]
            for _ in range(int(next(tokens))):
                channel = next(tokens)
                axis = AXES[channel[0]]
                if channel.endswith("position"):
                    place = place + rows[:, column, None] * np.eye(3)[axis]
                else:
                    turn = turn @ Rotation.from_euler(channel[0], rows[:, column, None], degrees=True).as_matrix()
                column += 1
            stack[-1] = (turn, place)
            positions[name] = place
        elif token == "{":
            stack.append((np.eye(3)[None], np.zeros((1, 3))))
        elif token == "}":
            stack.pop()
    assert column == rows.shape[1]
    return positions, frame_time


def test_forward_kinematics_of_the_file_gives_the_joints(tmp_path, wild, body):
    path = bvh.write(tmp_path / "motion.bvh", wild, body)
    positions, frame_time = read_bvh(path.read_text())
    assert sorted(positions) == sorted(JOINT_NAMES)
    found = np.stack([positions[name] for name in JOINT_NAMES], axis=1) / 100
    np.testing.assert_allclose(found, wild.joints, atol=1e-4)
    assert 1 / frame_time == pytest.approx(29.97, rel=1e-5)
    assert [file.name for file in tmp_path.iterdir()] == ["motion.bvh"]


def test_angles_never_jump_by_a_whole_turn(tmp_path, wild, body):
    """Viewers interpolate the numbers, not the rotations."""
    angles = np.linspace(0, 4 * np.pi, 60)
    spin = np.stack([np.zeros(60), angles % (2 * np.pi), np.zeros(60)], axis=1)
    values = {name: getattr(wild, name) for name in wild.__dataclass_fields__}
    for name in ("body_pose", "transl", "joints", "rotation_w2c", "translation_w2c", "focal_px", "center_px"):
        values[name] = np.repeat(values[name][:1], 60, axis=0)
    path = bvh.write(tmp_path / "motion.bvh", type(wild)(**values | {"global_orient": spin}), body)
    rows = [line.split() for line in path.read_text().split("Frame Time")[1].splitlines()[1:]]
    numbers = np.array(rows, dtype=float)
    assert np.abs(np.diff(numbers, axis=0)).max() < 30
    assert numbers[-1, 5] - numbers[0, 5] == pytest.approx(720, abs=1e-3)
