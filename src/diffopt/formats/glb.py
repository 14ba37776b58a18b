"""An animated, skinned body and the camera that filmed it as one binary glTF 2.0 file (.glb).

glTF is right-handed, y up and in metres, as our world is. Its matrices are column-major, its quaternions xyzw, and its
cameras look along -z with y up where ours look along +z with y down. Specification: Khronos, glTF 2.0.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from scipy.spatial.transform import Rotation

from diffopt.body.model import BodyModel
from diffopt.body.skeleton import JOINT_NAMES, PARENTS
from diffopt.files.atomic import partial_file
from diffopt.geometry.mesh import vertex_normals
from diffopt.result.result import Result

_BYTE, _INDEX, _FLOAT = 5121, 5125, 5126
_VERTEX_TARGET, _INDEX_TARGET = 34962, 34963
_INFLUENCES = 4
"""Joints per vertex in one glTF attribute; SMPL's bodies have no more."""
_LOST_WEIGHT = 0.01
_GLTF_FROM_OPENCV = np.diag([1.0, -1.0, -1.0])
_MATERIAL = {
    "name": "body",
    "pbrMetallicRoughness": {"baseColorFactor": [0.36, 0.55, 0.85, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.7},
    "doubleSided": True,
}


class _Binary:
    """The buffer of a glTF file with the views and accessors that describe it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, values: ndarray, component: int, kind: str, target: int | None = None, bounds: bool = False) -> int:
        """Append an array and return the number of its accessor."""
        values = np.ascontiguousarray(values)
        view: dict[str, Any] = {"buffer": 0, "byteOffset": len(self.data), "byteLength": values.nbytes}
        if target is not None:
            view["target"] = target
        accessor: dict[str, Any] = {
            "bufferView": len(self.views),
            "componentType": component,
            "count": len(values),
            "type": kind,
        }
        if bounds:
            columns = values.reshape(len(values), -1)
            accessor["min"], accessor["max"] = columns.min(axis=0).tolist(), columns.max(axis=0).tolist()
        self.data += values.tobytes()
        self.data += b"\0" * (-len(self.data) % 4)
        self.views.append(view)
        self.accessors.append(accessor)
        return len(self.accessors) - 1


class _Animation:
    """Keyframes at the video's frames, linear in between."""

    def __init__(self, binary: _Binary, seconds: Float[ndarray, "T"]) -> None:
        self.binary = binary
        self.times = binary.add(seconds.astype(np.float32), _FLOAT, "SCALAR", bounds=True)
        self.samplers: list[dict[str, Any]] = []
        self.channels: list[dict[str, Any]] = []

    def rotate(self, node: int, rotations: Float[ndarray, "T 3 3"]) -> None:
        quaternions = Rotation.from_matrix(rotations).as_quat()
        # q and -q are the same rotation, but a viewer that goes from one to the other takes the long way round.
        turns = np.sign(np.sum(quaternions[1:] * quaternions[:-1], axis=1))
        quaternions[1:] *= np.cumprod(np.where(turns == 0, 1, turns))[:, None]
        self._move(node, "rotation", self.binary.add(quaternions.astype(np.float32), _FLOAT, "VEC4"))

    def translate(self, node: int, positions: Float[ndarray, "T 3"]) -> None:
        self._move(node, "translation", self.binary.add(positions.astype(np.float32), _FLOAT, "VEC3"))

    def _move(self, node: int, path: str, output: int) -> None:
        self.channels.append({"sampler": len(self.samplers), "target": {"node": node, "path": path}})
        self.samplers.append({"input": self.times, "output": output, "interpolation": "LINEAR"})


def write(path: Path, result: Result, body: BodyModel) -> Path:
    """Write the motion as a skinned mesh on SMPL's 24 joints, with the video's camera as an animated node.

    Pose blend shapes, which a licensed SMPL file has, are not part of linear blend skinning and are left out. glTF has
    no animated field of view: the camera keeps the median one.

    Args:
        path: the file to write; one that is there is replaced once the new one is complete.
        result: motion and cameras.
        body: the body that the motion's `betas` belong to.

    Returns:
        `path`.

    Raises:
        ValueError: the body binds a vertex to more than four joints.
    """
    betas = torch.as_tensor(result.betas).float()
    with torch.no_grad():
        vertices = body.rest_vertices(betas).double().numpy()
        offsets = body.skeleton(betas).double().numpy()
        rest_joints = body.rest_joints(betas).double().numpy()
    binary = _Binary()
    mesh = {"name": "body", "primitives": [_primitive(binary, body, vertices)]}
    inverse_bind = np.tile(np.eye(4, dtype=np.float32), (len(rest_joints), 1, 1))
    inverse_bind[:, 3, :3] = -rest_joints  # the transposed matrix, since glTF reads columns
    skin = {
        "joints": list(range(len(PARENTS))),
        "skeleton": 0,
        "inverseBindMatrices": binary.add(inverse_bind.reshape(-1, 16), _FLOAT, "MAT4"),
    }

    frames = len(result.transl)
    animation = _Animation(binary, np.arange(frames) / result.fps)
    rotations = np.concatenate([result.global_orient[:, None], result.body_pose], axis=1).astype(np.float64)
    for joint in range(len(PARENTS)):
        animation.rotate(joint, Rotation.from_rotvec(rotations[:, joint]).as_matrix())
    animation.translate(0, offsets[0] + result.transl)
    body_node, camera_node = len(PARENTS), len(PARENTS) + 1
    rotation_c2w = result.rotation_w2c.astype(np.float64).swapaxes(-1, -2)
    centers = -(rotation_c2w @ result.translation_w2c[..., None]).squeeze(-1)
    animation.rotate(camera_node, rotation_c2w @ _GLTF_FROM_OPENCV)
    animation.translate(camera_node, centers)

    nodes = _skeleton_nodes(offsets)
    nodes.append({"name": "body", "mesh": 0, "skin": 0})
    nodes.append({"name": "camera", "camera": 0})
    document = {
        "asset": {"version": "2.0", "generator": "diffopt"},
        "scene": 0,
        "scenes": [{"nodes": [0, body_node, camera_node]}],
        "nodes": nodes,
        "meshes": [mesh],
        "skins": [skin],
        "cameras": [_camera(result)],
        "materials": [_MATERIAL],
        "animations": [{"name": "motion", "samplers": animation.samplers, "channels": animation.channels}],
        "buffers": [{"byteLength": len(binary.data)}],
        "bufferViews": binary.views,
        "accessors": binary.accessors,
    }
    return _write_container(path, document, bytes(binary.data))


def _primitive(binary: _Binary, body: BodyModel, vertices: Float[ndarray, "V 3"]) -> dict[str, Any]:
    faces = body.faces.numpy()
    joints, weights = _influences(body.lbs_weights.double().numpy())
    attributes = {
        "POSITION": binary.add(vertices.astype(np.float32), _FLOAT, "VEC3", _VERTEX_TARGET, bounds=True),
        "NORMAL": binary.add(vertex_normals(vertices, faces).astype(np.float32), _FLOAT, "VEC3", _VERTEX_TARGET),
        "JOINTS_0": binary.add(joints, _BYTE, "VEC4", _VERTEX_TARGET),
        "WEIGHTS_0": binary.add(weights, _FLOAT, "VEC4", _VERTEX_TARGET),
    }
    indices = binary.add(faces.astype(np.uint32).reshape(-1), _INDEX, "SCALAR", _INDEX_TARGET)
    return {"attributes": attributes, "indices": indices, "material": 0}


def _influences(lbs_weights: Float[ndarray, "V 24"]) -> tuple[ndarray, Float[ndarray, "V 4"]]:
    """The four joints that move each vertex, and their shares."""
    joints = np.argsort(-lbs_weights, axis=1)[:, :_INFLUENCES]
    weights = np.take_along_axis(lbs_weights, joints, axis=1)
    lost = 1 - weights.sum(axis=1)
    if lost.max() > _LOST_WEIGHT:
        raise ValueError(
            f"Vertex {int(lost.argmax())} of the body is moved by more than {_INFLUENCES} joints (the others hold "
            f"{lost.max():.0%}); a .glb skin holds {_INFLUENCES}: prune the body's weights first."
        )
    weights = weights / weights.sum(axis=1, keepdims=True)
    joints = np.where(weights > 0, joints, 0)  # the specification asks for joint 0 where the weight is 0
    return joints.astype(np.uint8), weights.astype(np.float32)


def _skeleton_nodes(offsets: Float[ndarray, "24 3"]) -> list[dict[str, Any]]:
    nodes = []
    for joint, name in enumerate(JOINT_NAMES):
        node: dict[str, Any] = {"name": name, "translation": offsets[joint].tolist()}
        children = [child for child, parent in enumerate(PARENTS) if parent == joint]
        if children:  # the specification forbids an empty list
            node["children"] = children
        nodes.append(node)
    return nodes


def _camera(result: Result) -> dict[str, Any]:
    width, height = (float(side) for side in result.image_size_px)
    yfov = 2 * np.arctan(height / (2 * float(np.median(result.focal_px))))
    perspective = {"aspectRatio": width / height, "yfov": float(yfov), "znear": 0.05}
    return {"name": "camera", "type": "perspective", "perspective": perspective}


def _write_container(path: Path, document: dict[str, Any], data: bytes) -> Path:
    text = json.dumps(document, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    length = 12 + 8 + len(text) + 8 + len(data)
    with partial_file(path) as partial, open(partial, "wb") as stream:
        stream.write(struct.pack("<4sII", b"glTF", 2, length))
        stream.write(struct.pack("<I4s", len(text), b"JSON") + text)
        stream.write(struct.pack("<I4s", len(data), b"BIN\0") + data)
    return path
