"""The words of the toy world, with their appearance: classes, colours and scene categories."""

import numpy as np

OBJECT_CLASSES = ('sphere', 'box', 'cylinder', 'cone', 'pyramid', 'wedge', 'dome', 'diamond')
TOY_CLASSES = ('wall', 'floor', *OBJECT_CLASSES, 'figure')
IGNORED = 255  # label of pixels that show none of these classes
# For pictures of label maps and for segmentation as an RGB target. The colours are far apart, so each identifies its
# class.
TOY_PALETTE = (
    (120, 120, 120),
    (80, 50, 50),
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (255, 0, 255),
    (0, 255, 255),
    (255, 128, 0),
    (128, 0, 255),
    (255, 255, 255),
)

# Albedos, far enough apart that jitter does not turn one colour into another.
OBJECT_COLOURS = {
    'red': (0.85, 0.10, 0.10),
    'orange': (0.95, 0.47, 0.06),
    'yellow': (0.93, 0.86, 0.14),
    'green': (0.13, 0.62, 0.18),
    'cyan': (0.15, 0.80, 0.86),
    'blue': (0.12, 0.24, 0.86),
    'purple': (0.48, 0.14, 0.70),
    'pink': (0.96, 0.50, 0.72),
    'brown': (0.40, 0.22, 0.10),
    'white': (0.93, 0.93, 0.93),
}

# Rooms are paler than objects, so that an object stands out from a wall with the same colour name.
ROOM_COLOURS = {
    'grey': (0.58, 0.58, 0.60),
    'white': (0.88, 0.88, 0.86),
    'beige': (0.80, 0.70, 0.54),
    'brown': (0.52, 0.36, 0.23),
    'blue': (0.52, 0.64, 0.82),
    'green': (0.58, 0.74, 0.56),
    'pink': (0.86, 0.66, 0.68),
    'yellow': (0.88, 0.80, 0.52),
}

# NYU scene name -> (wall colours, floor colours): the appearance of a room often, but not always, reveals its category.
SCENE_CATEGORIES = {
    'bedroom': (('blue', 'pink', 'beige'), ('brown', 'beige')),
    'kitchen': (('white', 'yellow'), ('grey', 'white')),
    'bathroom': (('white', 'blue', 'green'), ('white', 'blue')),
    'living_room': (('beige', 'yellow', 'green'), ('brown', 'grey')),
    'office': (('grey', 'white'), ('grey', 'blue')),
    'classroom': (('green', 'yellow', 'white'), ('brown', 'green')),
    'dining_room': (('pink', 'beige', 'brown'), ('brown', 'beige')),
    'playroom': (('yellow', 'pink', 'blue'), ('green', 'yellow', 'blue')),
}


def jittered(colour, rng, amount=0.05):
    """Vary a colour slightly: each channel separately, and the overall brightness.

    Args:
        colour (Sequence[float]): Albedo in [0, 1].
        rng (np.random.Generator): Source of randomness.
        amount (float): Standard deviation of the channel noise. Defaults to 0.05.

    Returns:
        np.ndarray: Albedo (3,), float32, in [0.02, 0.98].
    """
    noisy = np.asarray(colour) * rng.uniform(0.85, 1.08) + rng.normal(0, amount, 3)
    return np.clip(noisy, 0.02, 0.98).astype(np.float32)
