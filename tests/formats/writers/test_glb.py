"""The .glb is read back by pygltflib, an independent reader, and its skin is posed by the specification's own rule."""

import numpy as np
import pygltflib
import pytest
import torch
from scipy.spatial.transform import Rotation

from diffopt.body.skeleton import JOINT_NAMES
from diffopt.formats import glb

DTYPES = {5121: np.uint8, 5125: np.uint32, 5126: np.float32}
WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def read(gltf: pygltflib.GLTF2, index: int) -> np.ndarray:
    accessor = gltf.accessors[index]
    view = gltf.bufferViews[accessor.bufferView]
    data = gltf.binary_blob()[view.byteOffset : view.byteOffset + view.byteLength]
    return np.frombuffer(data, DTYPES[accessor.componentType]).reshape(accessor.count, WIDTHS[accessor.type])


def matrix(translation, quaternion) -> np.ndarray:
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = Rotation.from_quat(quaternion).as_matrix(), translation
    return result


def local_matrices(gltf: pygltflib.GLTF2, frame: int) -> list[np.ndarray]:
    """Every node's own transform at a key frame."""
    animation = gltf.animations[0]
    moved = {(channel.target.node, channel.target.path): channel.sampler for channel in animation.channels}
    matrices = []
    for number, node in enumerate(gltf.nodes):
        parts = {"translation": node.translation or [0, 0, 0], "rotation": node.rotation or [0, 0, 0, 1]}
        for path in parts:
            if (number, path) in moved:
                parts[path] = read(gltf, animation.samplers[moved[number, path]].output)[frame]
        matrices.append(matrix(parts["translation"], parts["rotation"]))
    return matrices


def world_matrices(gltf: pygltflib.GLTF2, frame: int) -> list[np.ndarray]:
    matrices = local_matrices(gltf, frame)
    world: dict[int, np.ndarray] = {}

    def visit(number: int, above: np.ndarray) -> None:
        world[number] = above @ matrices[number]
        for child in gltf.nodes[number].children or []:
            visit(child, world[number])

    for root in gltf.scenes[gltf.scene].nodes:
        visit(root, np.eye(4))
    return [world[number] for number in range(len(matrices))]


@pytest.fixture(scope="module")
def written(tmp_path_factory, wild, body) -> pygltflib.GLTF2:
    path = tmp_path_factory.mktemp("glb") / "motion.glb"
    glb.write(path, wild, body)
    assert [file.name for file in path.parent.iterdir()] == ["motion.glb"]
    return pygltflib.GLTF2().load(str(path))


def test_posing_the_skin_gives_the_bodys_mesh(written, wild, body, motion_of):
    motion = motion_of(wild)
    betas = torch.from_numpy(wild.betas)
    expected = body.vertices(motion.body_pose, motion.global_orient, motion.transl, betas).numpy()
    primitive = written.meshes[0].primitives[0]
    rest = read(written, primitive.attributes.POSITION)
    joints, weights = read(written, primitive.attributes.JOINTS_0), read(written, primitive.attributes.WEIGHTS_0)
    inverse_bind = read(written, written.skins[0].inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)
    homogeneous = np.concatenate([rest, np.ones((len(rest), 1))], axis=1)
    for frame in range(wild.num_frames):
        world = world_matrices(written, frame)
        skinning = np.stack(
            [world[node] @ bind for node, bind in zip(written.skins[0].joints, inverse_bind, strict=True)]
        )
        posed = np.einsum("vi,vimn,vn->vm", weights, skinning[joints], homogeneous)[:, :3]
        np.testing.assert_allclose(posed, expected[frame], atol=1e-4)
    np.testing.assert_array_equal(read(written, primitive.indices).reshape(-1, 3), body.faces.numpy())


def test_joint_nodes_stand_at_the_results_joints(written, wild):
    names = [written.nodes[node].name for node in written.skins[0].joints]
    assert names == list(JOINT_NAMES)
    for frame in range(wild.num_frames):
        positions = np.stack([world[:3, 3] for world in world_matrices(written, frame)[:24]])
        np.testing.assert_allclose(positions, wild.joints[frame], atol=1e-4)


def test_the_camera_node_sees_what_the_video_saw(written, wild):
    """A glTF camera looks along -z: its image of a point must be OpenCV's, whatever the axes."""
    (number,) = (index for index, node in enumerate(written.nodes) if node.camera == 0)
    perspective = written.cameras[0].perspective
    for frame in range(wild.num_frames):
        inside = wild.rotation_w2c[frame].T @ (np.array([0.3, -0.2, 4.0]) - wild.translation_w2c[frame])
        seen = np.linalg.inv(world_matrices(written, frame)[number]) @ [*inside, 1]
        x = seen[0] / -seen[2] / np.tan(perspective.yfov / 2) / perspective.aspectRatio
        y = seen[1] / -seen[2] / np.tan(perspective.yfov / 2)
        pixels = np.array([(x + 1) / 2 * 640, (1 - y) / 2 * 360])
        expected = np.array([0.3, -0.2]) / 4.0 * 500 + [320, 180]
        np.testing.assert_allclose(pixels, expected, atol=1e-2)


def test_time_and_interpolation(written, wild):
    animation = written.animations[0]
    times = read(written, animation.samplers[0].input)[:, 0]
    np.testing.assert_allclose(times, np.arange(wild.num_frames) / 29.97, rtol=1e-6)
    accessor = written.accessors[animation.samplers[0].input]
    assert accessor.min == [0.0] and accessor.max[0] == pytest.approx(times[-1])
    for channel in animation.channels:
        if channel.target.path == "rotation":
            keys = read(written, animation.samplers[channel.sampler].output)
            np.testing.assert_allclose(np.linalg.norm(keys, axis=1), 1, atol=1e-6)
            assert (np.sum(keys[1:] * keys[:-1], axis=1) >= 0).all()  # the short way round


def test_a_body_with_more_than_four_joints_per_vertex_is_refused(tmp_path, wild, body):
    weights = body.lbs_weights.clone()
    body.lbs_weights[7] = 1 / 24
    try:
        with pytest.raises(ValueError, match="Vertex 7"):
            glb.write(tmp_path / "motion.glb", wild, body)
    finally:
        body.lbs_weights.copy_(weights)
    assert not list(tmp_path.iterdir())
