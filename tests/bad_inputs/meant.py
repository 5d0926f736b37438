"""Inputs that look odd and are right to be accepted without a word, each with the reason."""

from collections.abc import Callable
from functools import partial

from mmengine.registry import METRICS, MODELS

from . import data
from .settings import build, tiny_arch


def _classes(*names: str) -> Callable:
    return partial(build, MODELS, 'ClassPrompts', classes=list(names), embed_dims=8)


def _backbone(**arguments) -> Callable:
    return lambda: build(MODELS, 'DiffusionUNet', arch=tiny_arch(), **arguments)


# What is given, why that is right, and the call.
MEANT: list[tuple[str, str, Callable]] = [
    ('an emoji as a class name', 'the tokenizer has symbols of its own for it', _classes('🌳', 'sky')),
    ('braces in a class name', "a template's only {} is replaced, nothing else", _classes('a {} b', '{x}')),
    ('a long class name', 'sentences are cut to max_length tokens, as documented', _classes('tree ' * 200 + '.')),
    ('the empty prompt', 'a list of the empty name alone stands for it', _classes('')),
    (
        'a colour twice',
        'of classes with the same colour the first counts, as documented; palettes of data sets have such',
        partial(build, METRICS, 'ColouredSegMetric', palette=[[1, 2, 3], [1, 2, 3]]),
    ),
    ('a level twice', 'documented: a level may stand there more than once', _backbone(out_indices=(1, 1))),
    ('a full-rank adapter', 'peft allows a rank above the width of a layer', _backbone(lora=dict(r=64))),
    (
        'a negative start of gamma',
        'a learnable vector may start anywhere',
        partial(build, MODELS, 'TextAdapter', embed_dims=8, gamma=-1.0),
    ),
    (
        'a byte order mark before metadata',
        'some editors write it, as documented',
        partial(data.load_written, {'images/metadata.jsonl': b'\xef\xbb\xbf{"file_name": "a.png"}'}),
    ),
    (
        'negative depth',
        "documented: targets of mode 'F' are any numbers up to 2^24",
        partial(data.load_written, {'targets/a.npy': data.saved(-data.GREY)}, mode='F'),
    ),
    (
        'depth without an upper limit',
        'infinity is the documented default',
        partial(build, METRICS, 'DepthMapMetric', max_depth=float('inf')),
    ),
]

# The host's own message names the type, and docs/troubleshooting.md explains it.
ANSWERED_BY_HOSTS = (
    "DiffusionUNet: prompts={'type': 'Nobody'}",
    "DiffusionUNet: cross_attention={'type': 'Nobody'}",
    'whole model: head num_classes -1',  # torch's, when mmsegmentation builds the layer
)
