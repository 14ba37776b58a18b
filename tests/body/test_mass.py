"""The centre of mass against its definition."""

import numpy as np

from diffopt.body.mass import center_of_mass
from diffopt.body.skeleton import JOINT_INDEX


def test_the_parts_make_one_body():
    """All joints in one point: the centre is that point, so that the masses sum to one."""
    point = np.array([0.3, -1.0, 2.0])
    assert np.allclose(center_of_mass(np.tile(point, (5, 24, 1))), point)


def test_a_raised_arm_lifts_the_mass_by_its_share():
    joints = np.zeros((2, 24, 3))
    for name, height in (("left_elbow", 0.3), ("left_wrist", 0.55)):
        joints[1, JOINT_INDEX[name], 1] = height
    moved = center_of_mass(joints)
    assert np.allclose(moved[1, 1], 0.028 * 0.436 * 0.3 + 0.016 * (0.3 + 0.43 * 0.25) + 0.006 * 0.55)
