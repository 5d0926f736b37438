"""An articulated figure: a random pose, spheres and cylinders around its joints, and COCO's 17 keypoints.

In the frame of the figure, x points to its left, y up and z forwards. Lengths are in metres, for a height of 1.7 m.
"""

from dataclasses import replace

import numpy as np

from .scene import Part, SceneObject, yaw
from .textures import Material
from .vocabulary import jittered

ARM, LEG = ('shoulder', 'elbow', 'wrist'), ('hip', 'knee', 'ankle')
SIDES = ('left', 'right')
KEYPOINTS = ('nose', *(f'{side}_{part}' for part in ('eye', 'ear', *ARM, *LEG) for side in SIDES))
SKELETON = (
    (15, 13),
    (13, 11),
    (16, 14),
    (14, 12),
    (11, 12),
    (5, 11),
    (6, 12),
    (5, 6),
    (5, 7),
    (6, 8),
    (7, 9),
    (8, 10),
    (1, 2),
    (0, 1),
    (0, 2),
    (1, 3),
    (2, 4),
    (3, 5),
    (4, 6),
)
# How far a visible keypoint may be behind the surface: those of the face are on the skin, joints are inside a limb.
FACE_TOLERANCE, JOINT_TOLERANCE = 0.05, 0.15
NUM_FACE_KEYPOINTS = 5

SKIN = ((0.90, 0.72, 0.58), (0.72, 0.50, 0.36), (0.45, 0.29, 0.20))
HAIR = (0.13, 0.09, 0.07)
EYES = (0.03, 0.03, 0.03)
STANDING_HEIGHT = 1.7
HEAD_RADIUS = 0.135
# Positions relative to the centre of the head, in units of its radius.
FACE = {
    'nose': (0, -0.12, 1.05),
    'left_eye': (0.38, 0.2, 0.9),
    'right_eye': (-0.38, 0.2, 0.9),
    'left_ear': (1.0, 0.0, 0.0),
    'right_ear': (-1.0, 0.0, 0.0),
}


def make_figure(rng, colour_name, colour, height=STANDING_HEIGHT):
    """Draw a figure in a random pose.

    Args:
        rng (np.random.Generator): Source of randomness.
        colour_name (str): Name of the colour of its clothes.
        colour (np.ndarray): Albedo (3,) of its clothes.
        height (float): Height of the standing figure, in metres. Defaults to 1.7.

    Returns:
        SceneObject: The figure at the origin. It faces +z, and its lowest point is at y = 0.
    """
    joints = _random_pose(rng)
    parts = _body(joints, colour, jittered(SKIN[rng.integers(len(SKIN))], rng, 0.02))
    lowest = min(part.centre[1] - _vertical_reach(part) for part in parts)
    scale, lift = height / STANDING_HEIGHT, np.array([0, -lowest, 0])
    parts = tuple(
        replace(
            part,
            centre=((part.centre + lift) * scale).astype(np.float32),
            half_extents=(part.half_extents * scale).astype(np.float32),
        )
        for part in parts
    )
    keypoints = (np.array([joints[name] for name in KEYPOINTS]) + lift) * scale
    return SceneObject('figure', colour_name, parts, keypoints.astype(np.float32))


def _random_pose(rng):
    """Return the joint positions by name, with the pelvis at the origin."""
    joints = {'pelvis': np.zeros(3), 'neck': _rotate((0, 0.52, 0), rng.normal(0, 0.08), rng.normal(0, 0.06))}
    joints['head'] = joints['neck'] + _rotate((0, 0.17, 0), rng.normal(0, 0.12), rng.normal(0, 0.1))
    turn = yaw(rng.normal(0, 0.25))
    for name, offset in FACE.items():
        joints[name] = joints['head'] + turn @ np.array(offset) * HEAD_RADIUS
    for side, sign in zip(SIDES, (1, -1), strict=True):
        raised = rng.random() < 0.25
        spread = rng.uniform(1.3, 2.7) if raised else rng.uniform(0.15, 0.9)
        swing = rng.normal(0, 0.5) - 0.2
        pitches = swing, swing - rng.uniform(0.1, 1.5)
        joints |= _limb(side, ARM, joints['neck'] + (sign * 0.19, -0.05, 0), (0.28, 0.27), pitches, sign * spread)
        stride = rng.normal(-0.1, 0.3)
        pitches, spread = (stride, stride + rng.uniform(0, 0.7)), rng.uniform(0.02, 0.25)
        joints |= _limb(side, LEG, np.array([sign * 0.10, 0, 0]), (0.42, 0.42), pitches, sign * spread)
    return joints


def _limb(side, names, start, lengths, pitches, roll):
    """Return the joints of a limb of two segments, which hangs down from ``start``, rotated by pitch and roll."""
    middle = start + _rotate((0, -lengths[0], 0), pitches[0], roll)
    tip = middle + _rotate((0, -lengths[1], 0), pitches[1], roll)
    return {f'{side}_{name}': position for name, position in zip(names, (start, middle, tip), strict=True)}


def _body(joints, clothes, skin):
    """Return the parts of the body around the joints."""
    cloth, bare = _plain(clothes), _plain(skin)
    trousers, hair, eye = (_plain(colour) for colour in (0.6 * clothes, HAIR, EYES))
    parts = [_ball(joints['head'], HEAD_RADIUS, bare), _ball(joints['nose'], 0.028, bare)]
    parts += [_ball(joints[f'{side}_eye'], 0.026, eye) for side in SIDES]
    backwards = joints['head'] - joints['nose']
    parts.append(_ball(joints['head'] + 0.28 * backwards + (0, 0.03, 0), HEAD_RADIUS, hair))
    middle = (joints['neck'] + joints['pelvis']) / 2
    spine = _frame_along(joints['neck'] - joints['pelvis'])
    parts.append(Part('sphere', middle, np.array([0.21, 0.35, 0.13]), spine, cloth))
    parts.append(_bone(joints['neck'], joints['head'], 0.055, bare))
    for side in SIDES:
        shoulder, elbow, wrist, hip, knee, ankle = (joints[f'{side}_{name}'] for name in (*ARM, *LEG))
        parts += [_ball(shoulder, 0.075, cloth), _bone(shoulder, elbow, 0.06, cloth), _ball(elbow, 0.06, cloth)]
        parts += [_bone(elbow, wrist, 0.05, cloth), _ball(wrist, 0.065, bare)]
        parts += [_ball(hip, 0.10, trousers), _bone(hip, knee, 0.085, trousers), _ball(knee, 0.08, trousers)]
        parts += [_bone(knee, ankle, 0.065, trousers), _ball(ankle, 0.075, hair)]
    return parts


def _plain(colour):
    colour = np.asarray(colour, np.float32)
    return Material(colour, colour)


def _ball(centre, radius, material):
    return Part('sphere', np.asarray(centre), np.full(3, radius), np.eye(3, dtype=np.float32), material)


def _bone(start, end, radius, material):
    half_extents = np.array([radius, np.linalg.norm(end - start) / 2, radius])
    return Part('cylinder', (start + end) / 2, half_extents, _frame_along(end - start), material)


def _frame_along(axis):
    """Return a rotation whose y axis is along ``axis`` and whose x axis is as close to x as possible."""
    y = axis / np.linalg.norm(axis)
    # An arm held sideways is parallel to x.
    side = np.array([1.0, 0, 0]) if abs(y[0]) < 0.9 else np.array([0, 0, 1.0])
    z = np.cross(side, y)
    z /= np.linalg.norm(z)
    return np.stack([np.cross(y, z), y, z], axis=1).astype(np.float32)


def _vertical_reach(part):
    is_ball = part.shape == 'sphere'
    return part.half_extents[1] if is_ball else np.abs(part.rotation[1] * part.half_extents).sum()


def _rotate(vector, pitch, roll):
    """Rotate a vector about x (a positive pitch moves a hanging limb backwards), then about z."""
    cp, sp, cr, sr = np.cos(pitch), np.sin(pitch), np.cos(roll), np.sin(roll)
    x, y, z = vector
    y, z = cp * y - sp * z, sp * y + cp * z
    return np.array([cr * x - sr * y, sr * x + cr * y, z])
