"""Rendering of a scene with all of its ground truth: :func:`.render`."""

from dataclasses import dataclass

import numpy as np

from .figure import FACE_TOLERANCE, JOINT_TOLERANCE, NUM_FACE_KEYPOINTS
from .raycast import SKY, lit, trace
from .scene import Scene
from .vocabulary import IGNORED, TOY_CLASSES

MIN_SIZE = 32
SHININESS = 40


@dataclass(frozen=True)
class Instance:
    """One visible object of a rendering.

    Args:
        index (int): Its index in ``scene.objects``; its pixels have ``instance_map == index + 1``.
        class_name (str): One of ``TOY_CLASSES``.
        colour (str): Key of ``OBJECT_COLOURS``.
        bbox (tuple[int]): ``(x, y, width, height)`` of its visible pixels.
        area (int): Number of its visible pixels.
        position (np.ndarray): Its centre (3,) in camera coordinates, metres.
        keypoints (np.ndarray, optional): Keypoints (17, 3) of a figure: x and y in pixels (whole at pixel centres), and
            COCO's visibility: 2 for visible, 1 for hidden, 0 for outside the image (x = y = 0).
    """

    index: int
    class_name: str
    colour: str
    bbox: tuple
    area: int
    position: np.ndarray
    keypoints: np.ndarray | None = None


@dataclass(frozen=True)
class Rendering:
    """An image and its ground truth, which is exact at the pixel centres.

    ``image = round(255 * clip(albedo * shading))`` wherever ``unexplained`` is False. The sky has no class, depth or
    normal. Its albedo is its colour and its shading is 1. Trees and other scenery have no class, and the ground is a
    floor.

    Args:
        scene (Scene): The rendered scene.
        image (np.ndarray): RGB (H, W, 3), uint8, linear.
        semantic (np.ndarray): Index into ``TOY_CLASSES``, or ``IGNORED`` for the sky and the scenery (H, W), uint8.
        depth (np.ndarray): Along the optical axis, in metres; 0 for the sky (H, W), float32.
        normals (np.ndarray): Unit, in camera coordinates (x right, y up, z towards the viewer); zeros for the sky
            (H, W, 3), float32.
        albedo (np.ndarray): Albedo (H, W, 3), float32 in [0, 1].
        shading (np.ndarray): Irradiance (H, W, 3), float32; may exceed 1.
        unexplained (np.ndarray): Pixels with a highlight or clipped values, and those that fog, drawing or noise
            changes (H, W), bool.
        shadow (np.ndarray): Pixels that the lamp does not reach (H, W), bool; False for the sky.
        instance_map (np.ndarray): The index of the object + 1, or 0 for everything else (H, W), uint8.
        instances (tuple[Instance]): The visible objects.
    """

    scene: Scene
    image: np.ndarray
    semantic: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    albedo: np.ndarray
    shading: np.ndarray
    unexplained: np.ndarray
    shadow: np.ndarray
    instance_map: np.ndarray
    instances: tuple


def render(scene, size):
    """Render a scene.

    Args:
        scene (Scene): The scene.
        size (int | tuple[int, int]): Side of a square image, or (height, width), at least 32 each.

    Returns:
        Rendering: The image with its ground truth.

    Raises:
        ValueError: The size is too small.
    """
    height, width = (size, size) if np.isscalar(size) else size
    if min(height, width) < MIN_SIZE:
        raise ValueError(f'size must be at least {MIN_SIZE} pixels a side, got {height} x {width}.')
    directions, depth, surface = trace(scene, height, width)
    known_depth = np.where(surface == SKY, np.float32(0), depth)
    points = (scene.camera.position + known_depth[..., None] * directions).reshape(-1, 3)
    rays = directions.reshape(-1, 3)
    normals, albedo, specular = _surface_properties(scene, points, rays, surface.reshape(-1))
    reached = lit(scene, points, normals)
    shading, highlight = _light_up(scene, points, normals, rays, reached, specular)
    shading[surface.reshape(-1) == SKY] = 1
    shape = (height, width, 3)
    radiance = (albedo * shading + highlight[:, None]).reshape(shape)
    semantic, instance_map = _labels(scene, surface)
    maps = dict(
        semantic=semantic,
        depth=known_depth,
        normals=(normals @ scene.camera.rotation).reshape(shape),
        albedo=albedo.reshape(shape),
        shading=shading.reshape(shape),
        shadow=~reached.reshape(height, width) & (surface != SKY),
        instance_map=instance_map,
    )
    picture = radiance
    if scene.sky:
        picture = scene.sky.behind_fog(radiance, scene.sky.path_lengths(depth, directions, scene.camera.height))
    if scene.pen:
        picture = _drawing(scene, surface, maps)
    if scene.noise:
        picture = scene.noise.add_to(radiance)
    return Rendering(
        scene=scene,
        image=np.round(255 * picture.clip(0, 1)).astype(np.uint8),
        unexplained=(highlight > 0).reshape(height, width) | ((radiance > 1) | (picture != radiance)).any(axis=-1),
        instances=tuple(_instances(scene, instance_map, depth)),
        **maps,
    )


def _drawing(scene, surface, maps):
    things = np.where(surface < len(scene.planes), surface - len(scene.planes), maps['instance_map'])
    return scene.pen.draw(things, maps['normals'], maps['depth'], maps['albedo'], maps['shadow'])


def _surface_properties(scene, points, directions, surface):
    """Return the normals (N, 3), albedo (N, 3) and highlight strength (N,) at the points that the rays hit."""
    normals, albedo = np.empty_like(points), np.empty_like(points)
    specular = np.zeros(len(points), np.float32)
    for index, plane in enumerate(scene.planes):
        hit = np.flatnonzero(surface == index)
        normals[hit], albedo[hit] = plane.normal, plane.albedo(points[hit])
    if scene.sky:
        hit = np.flatnonzero(surface == SKY)
        normals[hit], albedo[hit] = 0, scene.sky.radiance(directions[hit])
    for index, part in enumerate(scene.parts, start=len(scene.planes)):
        hit = np.flatnonzero(surface == index)
        if len(hit):
            normals[hit], albedo[hit] = part.normals(points[hit]), part.albedo(points[hit])
            specular[hit] = part.material.specular
    return normals, albedo, specular


def _light_up(scene, points, normals, directions, reached, specular):
    """Return Lambert's irradiance (N, 3) under lamp and sky, and Blinn-Phong's highlight (N,)."""
    to_light = scene.light.position - points
    to_light /= np.linalg.norm(to_light, axis=1, keepdims=True)
    cosine = np.where(reached, np.einsum('nc,nc->n', normals, to_light), 0).astype(np.float32)
    sky = 0.75 + 0.25 * normals[:, 1]
    shading = scene.light.ambient * sky[:, None] + scene.light.colour * cosine[:, None]
    highlight = np.zeros(len(points), np.float32)
    shiny = np.flatnonzero((specular > 0) & reached)
    half = to_light[shiny] - directions[shiny] / np.linalg.norm(directions[shiny], axis=1, keepdims=True)
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    lobe = np.einsum('nc,nc->n', half, normals[shiny]).clip(0, 1) ** SHININESS
    # The eight bits of the image cannot show a weaker highlight.
    highlight[shiny] = np.where(lobe > 0.02, specular[shiny] * lobe, 0)
    return shading.astype(np.float32), highlight


def _labels(scene, surface):
    """Look up the semantic map and the instance map in the map of surfaces."""
    classes = [TOY_CLASSES.index(plane.class_name) for plane in scene.planes]
    instances = [0] * len(scene.planes)
    for index, thing in enumerate(scene.objects):
        classes += [TOY_CLASSES.index(thing.class_name)] * len(thing.parts)
        instances += [index + 1] * len(thing.parts)
    rest = sum(len(thing.parts) for thing in scene.scenery) + 1  # SKY is -1, the last entry
    classes += [IGNORED] * rest
    instances += [0] * rest
    return np.array(classes, np.uint8)[surface], np.array(instances, np.uint8)[surface]


def _instances(scene, instance_map, depth):
    for index, thing in enumerate(scene.objects):
        rows, columns = np.nonzero(instance_map == index + 1)
        if not len(rows):
            continue
        x, y = int(columns.min()), int(rows.min())
        bbox = (x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y)
        position = scene.camera.to_camera(thing.position[None])[0]
        keypoints = None if thing.keypoints is None else _keypoints(scene.camera, thing.keypoints, depth)
        yield Instance(index, thing.class_name, thing.colour, bbox, len(rows), position, keypoints)


def _keypoints(camera, points, depth):
    """Project keypoints (17, 3) and compare them with the depth map."""
    height, width = depth.shape
    xy, distance = camera.project(points, height, width)
    inside = ((xy >= 0) & (xy < (width, height))).all(axis=1)
    column, row = np.where(inside[:, None], xy, 0).astype(int).T
    tolerance = np.where(np.arange(len(points)) < NUM_FACE_KEYPOINTS, FACE_TOLERANCE, JOINT_TOLERANCE)
    visible = depth[row, column] > distance - tolerance
    visibility = np.where(inside, 1 + visible, 0)
    return np.column_stack([np.where(inside[:, None], xy - 0.5, 0), visibility]).astype(np.float32)
