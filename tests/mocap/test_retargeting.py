from dataclasses import replace

import torch

from diffopt.body.skeleton import JOINT_INDEX, JOINT_NAMES
from diffopt.mocap.clip import AVERAGE_OFFSETS
from diffopt.mocap.retargeting import HIPS, LEGS, MIRROR, SPINE, approach_skeleton


def test_mirror_knows_both_sides():
    names = JOINT_NAMES
    assert [names[other] for other in MIRROR[:6]] == [
        "pelvis", "right_hip", "left_hip", "spine1", "right_knee", "left_knee",
    ]  # fmt: skip


def test_another_skeleton_is_reached_and_the_legs_stay_where_they_were(windows):
    motion = windows()
    target = AVERAGE_OFFSETS + 0.03 * torch.randn(22, 3, generator=torch.Generator().manual_seed(2))
    target[0] = 0

    untouched = approach_skeleton(motion, target, torch.zeros(3))
    there = approach_skeleton(motion, target, torch.ones(3))

    torch.testing.assert_close(untouched.joints(), motion.joints())
    legs = LEGS
    torch.testing.assert_close(there.joints()[:, :, legs], motion.joints()[:, :, legs], atol=1e-5, rtol=0)
    reached = torch.nn.functional.cosine_similarity(there.offsets, target.expand(3, 22, 3), dim=-1)
    limbs = [joint for joint in range(1, 22) if joint not in HIPS]
    assert reached[:, limbs].min() > 0.99999
    # Someone who stands in the rest pose leans no more on other bones.
    rest = replace(motion, rotations=torch.eye(3).expand_as(motion.rotations).clone())
    leans = []
    for one in (rest, approach_skeleton(rest, target, torch.ones(3))):
        joints = one.joints()[:, 0]
        trunk = joints[:, JOINT_INDEX["neck"]] - joints[:, HIPS].mean(dim=1)
        leans.append(torch.atan2(trunk[:, 2], trunk[:, 1]))
    torch.testing.assert_close(leans[0], leans[1], atol=1e-5, rtol=0)
    assert abs(float(torch.atan2(target[SPINE, 2].sum(), target[SPINE, 1].sum()) - leans[0][0])) > 0.01
    size = there.offsets[:, [9, 12, 18]] / target[[9, 12, 18]]
    torch.testing.assert_close(size, size[:, :1, :1].expand_as(size))
