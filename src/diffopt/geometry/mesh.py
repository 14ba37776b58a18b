"""Triangle meshes."""

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray


def vertex_normals(vertices: Float[ndarray, "V 3"], faces: Int[ndarray, "F 3"]) -> Float[ndarray, "V 3"]:
    """Unit normals at the vertices: the mean of the neighbouring faces' normals, weighted by their areas.

    Args:
        vertices: positions.
        faces: vertex indices, counter-clockwise seen from outside.

    Returns:
        Outward unit vectors; zero at a vertex without faces.
    """
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    flat, repeated = faces.reshape(-1), np.repeat(normals, 3, axis=0)
    total = np.stack([np.bincount(flat, repeated[:, axis], len(vertices)) for axis in range(3)], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
