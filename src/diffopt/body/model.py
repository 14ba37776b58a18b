"""A posable body: joints and keypoints without the mesh for the inner loop, the mesh for pictures.

Linear blend skinning moves a rest vertex v by sum_j w_vj (R_j (v - J_j) + p_j). A keypoint is a fixed mean of vertices,
so the sum over vertices can be taken once: K x 24 small vectors replace thousands of vertices, exactly.
Source: Loper et al., SMPL (2015); the first half of the paper's W (eq. 10), of
which `keypoints.keypoint_regressor` is the second.
"""

import hashlib
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from diffopt.body.arrays import BodyArrays
from diffopt.body.free import read_free_body
from diffopt.body.keypoints import FOOT_POINTS
from diffopt.body.skeleton import PARENTS, forward_kinematics
from diffopt.device import rows
from diffopt.errors import DiffoptError


class BodyModel(nn.Module):
    """A body in SMPL format. Rotations are matrices, lengths metres; `betas` are one vector for all frames."""

    name: str
    v_template: Tensor
    shapedirs: Tensor
    posedirs: Tensor | None
    joint_regressor: Tensor
    lbs_weights: Tensor
    faces: Tensor
    _joint_template: Tensor
    _joint_shapedirs: Tensor
    _anchor_weight: Tensor
    _anchor_template: Tensor
    _anchor_shapedirs: Tensor
    _anchor_posedirs: Tensor | None

    def __init__(self, arrays: BodyArrays) -> None:
        super().__init__()
        self.name = arrays.name

        def keep(name: str, values: Tensor | None) -> None:
            self.register_buffer(name, None if values is None else values.float(), persistent=False)

        template, shapedirs, weights, regressor, surface = (
            torch.as_tensor(values, dtype=torch.float64)
            for values in (
                arrays.v_template,
                arrays.shapedirs,
                arrays.lbs_weights,
                arrays.joint_regressor,
                arrays.surface_regressor,
            )
        )
        posedirs = None if arrays.posedirs is None else torch.as_tensor(arrays.posedirs, dtype=torch.float64)
        keep("v_template", template)
        keep("shapedirs", shapedirs)
        keep("posedirs", posedirs)
        keep("joint_regressor", regressor)
        keep("lbs_weights", weights)
        self.register_buffer("faces", torch.as_tensor(arrays.faces, dtype=torch.int64), persistent=False)
        joint_template = regressor @ template
        joint_shapedirs = torch.einsum("jv,vdb->jdb", regressor, shapedirs)
        keep("_joint_template", joint_template)
        keep("_joint_shapedirs", joint_shapedirs)

        # One anchor per surface keypoint k and joint j: the part of the keypoint that joint j carries.
        share = torch.einsum("kv,vj->kjv", surface, weights)
        anchor_weight = share.sum(dim=-1)
        anchor_template = share @ template
        anchor_shapedirs = torch.einsum("kjv,vdb->kjdb", share, shapedirs)
        keep("_anchor_weight", anchor_weight)
        keep("_anchor_template", anchor_template)
        keep("_anchor_shapedirs", anchor_shapedirs)
        keep("_anchor_posedirs", None if posedirs is None else torch.einsum("kjv,vdp->kjdp", share, posedirs))

    def fingerprint(self) -> str:
        """A digest of mesh, shapes and keypoints: the name alone does not tell one SMPL file from another."""
        digest = hashlib.blake2b(digest_size=8)
        for values in self.buffers():
            digest.update(values.cpu().numpy().tobytes())
        return digest.hexdigest()

    @property
    def device(self) -> torch.device:
        return self.v_template.device

    def rest_joints(self, betas: Float[Tensor, "10"]) -> Float[Tensor, "24 3"]:
        """Joint positions of the rest pose, metres."""
        return self._joint_template + self._joint_shapedirs @ betas

    def skeleton(self, betas: Float[Tensor, "10"]) -> Float[Tensor, "24 3"]:
        """Each joint from its parent in the rest pose, metres; row 0 is the rest pelvis, which is not the origin."""
        rest = self.rest_joints(betas)
        return torch.cat([rest[:1], rest[1:] - rest[rows(PARENTS[1:], rest.device)]])

    def rest_vertices(self, betas: Float[Tensor, "10"]) -> Float[Tensor, "V 3"]:
        """The mesh of the rest pose, metres."""
        return self.v_template + self.shapedirs @ betas

    def joints(
        self,
        body_pose: Float[Tensor, "T 23 3 3"],
        global_orient: Float[Tensor, "T 3 3"],
        transl: Float[Tensor, "T 3"],
        betas: Float[Tensor, "10"],
    ) -> Float[Tensor, "T 24 3"]:
        """The 24 joints, in the frame of `global_orient` and `transl`, metres."""
        return self._pose(body_pose, global_orient, transl, betas)[1]

    def landmarks(
        self,
        body_pose: Float[Tensor, "T 23 3 3"],
        global_orient: Float[Tensor, "T 3 3"],
        transl: Float[Tensor, "T 3"],
        betas: Float[Tensor, "10"],
    ) -> Float[Tensor, "T 47 3"]:
        """The 24 joints, then the 23 surface keypoints (`keypoints.LANDMARK_NAMES`), metres.

        The f_m(f_theta) + f_x of the paper's eq. 10 at the points that its W reads, turned by f_phi.
        """
        rotations, joints = self._pose(body_pose, global_orient, transl, betas)
        # R_j (A_kj - w_kj J_j) + w_kj p_j, summed over j; A gathers the rest vertices that j carries of keypoint k.
        anchors = self._anchor_template + self._anchor_shapedirs @ betas
        anchors = anchors - self._anchor_weight[..., None] * self.rest_joints(betas)
        if self._anchor_posedirs is None:
            turned = torch.einsum("tjmn,kjn->tkm", rotations, anchors)
        else:
            bulges = torch.einsum("kjdp,tp->tkjd", self._anchor_posedirs, _pose_feature(body_pose))
            turned = torch.einsum("tjmn,tkjn->tkm", rotations, anchors + bulges)
        surface = turned + torch.einsum("kj,tjm->tkm", self._anchor_weight, joints)
        return torch.cat([joints, surface], dim=1)

    def vertices(
        self,
        body_pose: Float[Tensor, "T 23 3 3"],
        global_orient: Float[Tensor, "T 3 3"],
        transl: Float[Tensor, "T 3"],
        betas: Float[Tensor, "10"],
    ) -> Float[Tensor, "T V 3"]:
        """The posed mesh, metres. Memory grows with T times V: call it on a few frames at a time."""
        rotations, joints = self._pose(body_pose, global_orient, transl, betas)
        rest = self.rest_vertices(betas)[None]
        if self.posedirs is not None:
            rest = rest + torch.einsum("vdp,tp->tvd", self.posedirs, _pose_feature(body_pose))
        shifts = joints - (rotations @ self.rest_joints(betas)[..., None]).squeeze(-1)
        blended = torch.einsum("vj,tjmn->tvmn", self.lbs_weights, rotations)
        moved = (blended @ rest.expand(len(joints), -1, -1)[..., None]).squeeze(-1)
        return moved + torch.einsum("vj,tjm->tvm", self.lbs_weights, shifts)

    def sole_heights(self, betas: Float[Tensor, "10"]) -> Float[Tensor, "4"]:
        """Heights of the `FOOT_POINTS` over the ground when the rest pose stands on it, metres.

        The detectors' heel and toe lie on the skin, not under it.
        """
        rest = torch.eye(3, device=self.device).expand(1, 24, 3, 3)
        points = self.landmarks(rest[:, 1:], rest[:, 0], torch.zeros(1, 3, device=self.device), betas)[
            0, rows(FOOT_POINTS, self.device)
        ]
        return points[:, 1] - self.rest_vertices(betas)[:, 1].min()

    def _pose(
        self,
        body_pose: Float[Tensor, "T 23 3 3"],
        global_orient: Float[Tensor, "T 3 3"],
        transl: Float[Tensor, "T 3"],
        betas: Float[Tensor, "10"],
    ) -> tuple[Float[Tensor, "T 24 3 3"], Float[Tensor, "T 24 3"]]:
        rotations = torch.cat([global_orient[:, None], body_pose], dim=1)
        world, joints = forward_kinematics(rotations, self.skeleton(betas))
        return world, joints + transl[:, None]


def _pose_feature(body_pose: Float[Tensor, "T 23 3 3"]) -> Float[Tensor, "T 207"]:
    """SMPL's input to the pose blend shapes: the rotations' departure from rest."""
    return rearrange(
        body_pose - torch.eye(3, dtype=body_pose.dtype, device=body_pose.device),
        "t joint row column -> t (joint row column)",
    )


def load_body(model: str | Path = "free", keypoint_regressor: str | Path | None = None) -> BodyModel:
    """The embedded free body, or the user's licensed SMPL file.

    Args:
        model: `free`, or the path of a SMPL file (`.npz` or the official `.pkl`).
        keypoint_regressor: a file with the detectors' keypoints as means of SMPL's vertices; None fits those of the
            limbs (`fitted_regressor`).

    Raises:
        DiffoptError: a file is missing, is not what it should be, or asks to run code; or the free body is given
            a regressor.
    """
    if str(model) == "free":
        if keypoint_regressor is not None:
            raise DiffoptError(
                f"body.keypoint_regressor={keypoint_regressor}: expected none for body.model=free, which brings "
                "its own; leave it out, or give your SMPL file as `body.model=`."
            )
        return BodyModel(read_free_body())
    from diffopt.body.smpl import read_smpl

    return BodyModel(read_smpl(Path(model), None if keypoint_regressor is None else Path(keypoint_regressor)))
