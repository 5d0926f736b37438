"""Ray casting: the first surface that each ray hits, and the points in shadow."""

from itertools import product

import numpy as np

# What is farther away, in metres, belongs to the sky: the depth fits into 16-bit millimetres.
FAR = 60.0
SKY = -1
# Shadow rays start this many metres above the surface, so that it does not shadow itself.
LIFT = 2e-3
CORNERS = np.array(list(product((-1, 1), repeat=3)), np.float32)  # of a box, in units of its half extents


def trace(scene, height, width):
    """Cast the rays of the camera.

    Args:
        scene (Scene): The scene.
        height (int): Height of the image.
        width (int): Width of the image.

    Returns:
        tuple[np.ndarray, np.ndarray, np.ndarray]: The directions (H, W, 3) of the rays, the depth (H, W),
        infinite for the sky, and the surface (H, W): an index into ``[*scene.planes, *scene.parts]``, or ``SKY``.
    """
    directions = scene.camera.rays(height, width)
    origin = scene.camera.position
    distances = np.stack([plane.intersect(origin, directions) for plane in scene.planes])
    surface, depth = distances.argmin(axis=0), distances.min(axis=0).astype(np.float32)
    if scene.sky:
        surface[depth > FAR], depth[depth > FAR] = SKY, np.inf
    for index, part in enumerate(scene.parts, start=len(scene.planes)):
        window = _window(part, scene.camera, height, width)
        rays = directions[window]
        t_in, t_out = part.intersect(origin, rays.reshape(-1, 3))
        t_in = np.where((t_in < t_out) & (t_in > 0), t_in, np.inf).reshape(rays.shape[:2])
        nearer = t_in < depth[window]
        depth[window] = np.where(nearer, t_in, depth[window])
        surface[window] = np.where(nearer, index, surface[window])
    return directions, depth, surface


def lit(scene, points, normals):
    """Return which points the lamp reaches.

    Args:
        scene (Scene): The scene.
        points (np.ndarray): (N, 3).
        normals (np.ndarray): Unit normals (N, 3).

    Returns:
        np.ndarray: (N,), False where something is between the point and the lamp, or where the surface faces away.
    """
    to_light = scene.light.position - points
    reached = np.einsum('nc,nc->n', to_light, normals) > 0
    facing = np.flatnonzero(reached)
    lifted, to_light = points[facing] + LIFT * normals[facing], to_light[facing]
    squared = np.einsum('nc,nc->n', to_light, to_light)
    for thing in scene.things:
        near = np.flatnonzero(_passes(lifted, to_light, squared, thing.position, thing.radius))
        origins, directions = lifted[near], to_light[near]
        for part in thing.parts:
            nearer = np.flatnonzero(_passes(origins, directions, squared[near], part.centre, part.radius))
            t_in, t_out = part.intersect(origins[nearer], directions[nearer])
            reached[facing[near[nearer[(t_in < t_out) & (t_out > 0) & (t_in < 1)]]]] = False
    return reached


def _passes(points, directions, squared, centre, radius):
    """Return whether rays pass through a sphere ahead of them: a cheap test before the exact one."""
    to_centre = centre - points
    along = np.einsum('nc,nc->n', to_centre, directions)
    distance = np.einsum('nc,nc->n', to_centre, to_centre)
    # Points inside the sphere count in any direction.
    return (distance - along**2 / squared < radius**2) & ((along > 0) | (distance < radius**2))


def _window(part, camera, height, width):
    """Return the region of the image that can show a part, as a pair of slices."""
    corners = (CORNERS * part.half_extents) @ part.rotation.T + part.centre
    xy, _ = camera.project(corners, height, width)
    low = np.clip(np.floor(xy.min(axis=0)).astype(int), 0, (width, height))
    high = np.clip(np.ceil(xy.max(axis=0)).astype(int), 0, (width, height))
    return slice(low[1], high[1]), slice(low[0], high[0])
