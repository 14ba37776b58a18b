import itertools

import numpy as np
import pytest
import roma
import torch

from diffopt.mocap.amass import read_amass
from diffopt.mocap.clip import AVERAGE_OFFSETS, floor_height, kind_of, pose
from diffopt.mocap.pack import read_pack
from diffopt.mocap.reading import read_motions


def write_pack(path, lengths=(40, 25), subjects=("a", "b")):
    rng = np.random.default_rng(0)
    frames = sum(lengths)
    np.savez(
        path,
        name=np.array([f"clip{index}" for index in range(len(lengths))]),
        subject=np.array(subjects),
        description=np.array(["walk"] * len(lengths)),
        start=np.cumsum([0, *lengths[:-1]]),
        length=np.array(lengths),
        fps=30.0,
        rotvec=rng.normal(size=(frames, 22, 3)).astype(np.float32) * 0.2,
        trans=rng.normal(size=(frames, 3)).astype(np.float32),
        offsets=rng.normal(size=(len(lengths), 22, 3)).astype(np.float32),
    )


def test_a_pack_gives_back_its_clips(tmp_path):
    write_pack(tmp_path / "pack.npz")

    first, second = read_pack(tmp_path / "pack.npz")

    with np.load(tmp_path / "pack.npz") as pack:
        rotvec, trans, offsets = pack["rotvec"], pack["trans"], pack["offsets"]
    assert (first.name, first.subject, second.subject) == ("clip0", "a", "b")
    assert second.seconds == pytest.approx(25 / 30)
    np.testing.assert_allclose(roma.rotmat_to_rotvec(second.rotations), rotvec[40:], atol=1e-5)
    # The elbow, by hand along its chain.
    frame, chain = 3, [0, 3, 6, 9, 13, 16, 18]
    world, at = roma.rotvec_to_rotmat(torch.from_numpy(rotvec[40 + frame])), torch.from_numpy(trans[40 + frame])
    turned = torch.eye(3)
    for parent, joint in itertools.pairwise(chain):
        turned = turned @ world[parent]
        at = at + turned @ torch.from_numpy(offsets[1, joint])
    torch.testing.assert_close(second.joints()[frame, 18], at)


def test_amass_is_stood_up_and_put_on_the_floor(tmp_path):
    frames = 60
    folder = tmp_path / "S7"
    folder.mkdir()
    poses = np.zeros((frames, 156))
    poses[:, 0] = np.pi / 2  # AMASS is z up: a standing person is turned about x.
    trans = np.zeros((frames, 3))
    trans[:, 1] = -np.arange(frames) / 60 * 1.5  # forwards: what was z is -y
    trans[:, 2] = 5.0
    np.savez(folder / "walk_poses.npz", poses=poses, trans=trans, mocap_framerate=60.0, betas=np.zeros(16))

    clip = read_amass(folder / "walk_poses.npz")

    assert (clip.name, clip.subject, clip.fps, clip.kind) == ("walk_poses", "S7", 60.0, "locomotion")
    joints = clip.joints()
    assert joints[0, 15, 1] > 1.4
    assert joints[:, [10, 11], 1].min().item() == pytest.approx(0.02, abs=1e-5)
    torch.testing.assert_close(joints[-1, 0] - joints[0, 0], torch.tensor([0.0, 0.0, 59 / 60 * 1.5]), atol=1e-5, rtol=0)


def test_a_folder_is_read_whatever_its_files_are(tmp_path):
    write_pack(tmp_path / "pack.npz")
    (tmp_path / "sub").mkdir()
    np.savez(tmp_path / "sub" / "x.npz", poses=np.zeros((9, 66)), trans=np.zeros((9, 3)), mocap_frame_rate=30.0)
    np.savez(tmp_path / "shape.npz", betas=np.zeros(16))

    assert [clip.name for clip in read_motions(tmp_path)] == ["clip0", "clip1", "x"]


def test_what_holds_no_motion_is_refused(tmp_path):
    np.savez(tmp_path / "shape.npz", betas=np.zeros(16))

    with pytest.raises(ValueError, match="no motion found"):
        read_motions(tmp_path)
    with pytest.raises(ValueError, match="lacks name, subject"):
        read_pack(tmp_path / "shape.npz")
    with pytest.raises(ValueError, match="no AMASS motion"):
        read_amass(tmp_path / "shape.npz")


@pytest.mark.parametrize(("speed", "kind"), [(0.0, "activity"), (1.0, "locomotion"), (3.0, "run")])
def test_kind_is_told_by_speed(speed, kind):
    root = torch.zeros(90, 3)
    root[:, 0] = torch.arange(90) / 30 * speed

    assert kind_of(root, 30.0) == kind


def test_floor_is_under_the_lower_toe():
    standing = pose(torch.eye(3).expand(20, 22, 3, 3), torch.full((20, 3), 2.0), AVERAGE_OFFSETS)

    assert floor_height(standing) == pytest.approx(standing[0, 10, 1].item() - 0.02)
