"""Files of weights: damaged, of another model, or with something else in them."""

import copy
import io
import json
import os
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from adapted_unet import make_unet
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from mmseg.apis import init_model
from pickles import Call
from safetensors.torch import load, save
from torch import nn

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.models import ClassPrompts
from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.loading import load_weights
from mmdiffperc.weights.lora import load_lora, save_lora

from .case import Case
from .damage import damaged, give, safetensors
from .settings import tiny_arch
from .whole_models import MODEL

NAN, INF = float('nan'), float('inf')
FIRST = 'backbone.unet.conv_in.weight'
HEAD = 'decode_head.conv_seg.weight'
CLASSES = ['a', 'b', 'c']
EMBEDDINGS = torch.ones(3, 12)
ENDLESS = r'(.*.*.*.*.*.*.*.*.*.*.*.*.*.*.*)*x'  # to match it takes longer than the universe has existed


def cases() -> Iterator[Case]:
    """Of checkpoints, embeddings, Stable Diffusion's own files, and adapters."""
    for area in (_damaged, _contents, _embeddings, _headers, _folders, _adapters, _settings_of_adapters):
        yield from area()


def _case(area: str, title: str, use: Callable, name: str, content: Callable | bytes, *names: str) -> Case:
    """A file of a certain name and content, or of what a function returns when it is asked for."""
    made = content if callable(content) else lambda: content
    return Case(area, title, lambda: give(use, name, made()), (name, *names))


def _damaged():
    ways = (
        ('checkpoint', load_file, 'weights.pth', _saved(EMBEDDINGS)),
        ('embeddings', _load_embeddings, 'embeddings.pth', _saved(EMBEDDINGS)),
        ('Stable Diffusion', _load_unet, 'sd.safetensors', save({'a': EMBEDDINGS})),
        ('Stable Diffusion', _load_unet, 'sd.ckpt', _saved({'a': EMBEDDINGS})),
        ('adapter', _load_lora, 'lora.safetensors', save({'a': EMBEDDINGS})),
        ('adapter', _load_lora, 'lora.bin', _saved({'a': EMBEDDINGS})),
    )
    for area, use, name, content in ways:
        for title, left in damaged(content).items():
            yield _case(area, f'{name}, {title}', use, name, left)
    for area, use, name, _ in ways:
        yield Case(area, f'{name} is missing', partial(use, Path('/nowhere') / name), (name,))
        yield Case(area, f'{name} is a folder', partial(_give_folder, use, name), (name,))


def _give_folder(use: Callable, name: str):
    with TemporaryDirectory(prefix='case-') as folder:
        (Path(folder) / name).mkdir()
        return use(Path(folder) / name)


def _saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


# What is saved in place of a good checkpoint ``c``.
CONTENTS = {
    'a number': lambda c: 7,
    'nothing': lambda c: None,
    'a list': lambda c: [c],
    'an empty dict': lambda c: {},
    'no weights': lambda c: c | dict(state_dict={}),
    'weights None': lambda c: c | dict(state_dict=None),
    'weights as a list': lambda c: c | dict(state_dict=list(c['state_dict'].items())),
    'weights of another model': lambda c: c | dict(state_dict={'fc.weight': torch.ones(2, 2)}),
    'weights with a prefix': lambda c: _renamed(c, lambda name: f'module.model.{name}'),
    'the backbone alone': lambda c: _only(c, 'backbone.'),
    'no head': lambda c: _without(c, 'decode_head.'),
    'no neck': lambda c: _without(c, 'neck.'),
    'no backbone': lambda c: _without(c, 'backbone.'),
    'no U-Net': lambda c: _without(c, 'backbone.unet.'),
    'no autoencoder': lambda c: _without(c, 'backbone.autoencoder.'),
    'no prompts': lambda c: _without(c, 'backbone.prompts.'),
    'a bias less': lambda c: _without(c, 'decode_head.conv_seg.bias'),
    'a head of another shape': lambda c: _with(c, {HEAD: torch.ones(5, 8, 1, 1)}),
    'a U-Net of another shape': lambda c: _with(c, {FIRST: torch.ones(8, 4, 1, 1)}),
    'a weight without dimensions': lambda c: _with(c, {HEAD: torch.tensor(1.0)}),
    'an empty weight': lambda c: _with(c, {HEAD: torch.ones(0)}),
    'NaN': lambda c: _with(c, {FIRST: c['state_dict'][FIRST] * NAN}),
    'one infinity': lambda c: _with(c, {'decode_head.conv_seg.bias': torch.tensor([0, INF, 0])}),
    'NaN in half precision': lambda c: _with(c, {HEAD: c['state_dict'][HEAD].half() * NAN}),
    'complex': lambda c: _with(c, {FIRST: c['state_dict'][FIRST] + 0j}),
    'sparse': lambda c: _with(c, {FIRST: c['state_dict'][FIRST].to_sparse()}),
    'without content': lambda c: _with(c, {FIRST: c['state_dict'][FIRST].to('meta')}),
    'quantised': lambda c: _with(c, {FIRST: torch.quantize_per_tensor(c['state_dict'][FIRST], 0.1, 0, torch.qint8)}),
    'a huge expanded weight': lambda c: _with(c, {HEAD: torch.ones(1).expand(10**5, 10**5)}),
    'text as weight': lambda c: _with(c, {FIRST: 'text'}),
    'a list as weight': lambda c: _with(c, {FIRST: [1.0]}),
    'None as weight': lambda c: _with(c, {FIRST: None}),
    'an array as weight': lambda c: _with(c, {FIRST: c['state_dict'][FIRST].numpy()}),
    'a number as name': lambda c: _with(c, {5: torch.ones(2)}),
    'None as name': lambda c: _with(c, {None: torch.ones(2)}),
    'meta as text': lambda c: c | dict(meta='text'),
    'meta as list': lambda c: c | dict(meta=[]),
    'meta None': lambda c: c | dict(meta=None),
    'data set as text': lambda c: c | dict(meta=dict(dataset_meta='text')),
    'data set as list': lambda c: c | dict(meta=dict(dataset_meta=['a'])),
    'classes as number': lambda c: _of_classes(c, 3),
    'classes as text': lambda c: _of_classes(c, 'abc'),
    'classes as numbers': lambda c: _of_classes(c, [1, 2, 3]),
    'classes as dict': lambda c: _of_classes(c, {'a': 0}),
    'other classes': lambda c: _of_classes(c, ['a', 'b']),
    'a palette of a colour': lambda c: _of_classes(c, CLASSES, palette=[[1, 2, 3]]),
    'a palette of two channels': lambda c: _of_classes(c, CLASSES, palette=[[1, 2]] * 3),
    'a palette beyond 255': lambda c: _of_classes(c, CLASSES, palette=[[300, 0, 0]] * 3),
    'a palette of text': lambda c: _of_classes(c, CLASSES, palette=['red', 'green', 'blue']),
    'hub as text': lambda c: c | dict(message_hub='text'),
    'hub of text': lambda c: c | dict(message_hub=dict(runtime_info='text')),
    'dates': lambda c: c | dict(when=np.array(['2020-01-01'], 'M8[D]')),
    'objects': lambda c: c | dict(own=np.array([object()])),
    'records': lambda c: c | dict(own=np.zeros(2, [('a', 'f4')])),
    'a command': lambda c: c | dict(own=Call(os.system, 'true')),
    'a class': lambda c: c | dict(own=Path),
    'a function': lambda c: c | dict(own=os.system),
    'deep nesting': lambda c: c | dict(own=_nested(200)),
}
# A weight that is lacking is named, not the file, which the host logs in the line before.
PARTS = ('backbone.', 'neck.', 'decode_head.')


def _contents():
    for title, change in CONTENTS.items():
        made = partial(lambda change: _saved(change(_checkpoint())), change)
        yield _case('segmentor', title, _load_segmentor, 'trained.pth', made, *PARTS)


@cache
def _segmentor() -> nn.Module:
    config = Config(dict(model=copy.deepcopy(MODEL), default_scope='mmseg'))
    config.model.backbone.arch = tiny_arch()
    return init_model(config, device='cpu')


def _load_segmentor(path: Path):
    """As ``init_model`` does; a model whose weights nothing has initialised stays one."""
    load_checkpoint(_segmentor(), str(path), map_location='cpu')


@cache
def _checkpoint() -> dict:
    palette = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    return dict(state_dict=_segmentor().state_dict(), meta=dict(dataset_meta=dict(classes=CLASSES, palette=palette)))


def _with(content: dict, weights: dict) -> dict:
    return content | dict(state_dict={**content['state_dict'], **weights})


def _without(content: dict, part: str) -> dict:
    weights = content['state_dict']
    return content | dict(state_dict={name: weights[name] for name in weights if not name.startswith(part)})


def _only(content: dict, part: str) -> dict:
    weights = content['state_dict']
    return content | dict(state_dict={name: weights[name] for name in weights if name.startswith(part)})


def _renamed(content: dict, rename: Callable[[str], str]) -> dict:
    return content | dict(state_dict={rename(name): weight for name, weight in content['state_dict'].items()})


def _of_classes(content: dict, classes: object, **others) -> dict:
    return content | dict(meta=dict(dataset_meta=content['meta']['dataset_meta'] | dict(classes=classes, **others)))


def _nested(depth: int) -> list:
    nested = []
    for _ in range(depth):
        nested = [nested]
    return nested


def _embeddings():
    for title, content in {
        'of other classes': torch.ones(4, 12),
        'of another width': torch.ones(3, 768),
        'transposed': EMBEDDINGS.T.contiguous(),
        'flat': EMBEDDINGS.flatten(),
        'with a batch': EMBEDDINGS[None],
        'empty': torch.ones(0),
        'NaN': EMBEDDINGS * NAN,
        'infinite': EMBEDDINGS * INF,
        'zero': EMBEDDINGS * 0,
        'a zero row': EMBEDDINGS * torch.tensor([[1.0], [0], [1]]),
        'complex': EMBEDDINGS + 0j,
        'bytes': EMBEDDINGS.byte(),
        'booleans': EMBEDDINGS.bool(),
        'integers': EMBEDDINGS.long(),
        'sparse': EMBEDDINGS.to_sparse(),
        'without content': EMBEDDINGS.to('meta'),
        'a list': EMBEDDINGS.tolist(),
        'an array': EMBEDDINGS.numpy(),
        'a dict': dict(embeddings=EMBEDDINGS),
        'text': 'a, b, c',
        'None': None,
    }.items():
        yield _case('embeddings', title, _load_embeddings, 'embeddings.pth', partial(_saved, content))


def _load_embeddings(path: Path):
    ClassPrompts(CLASSES, embed_dims=12, embeddings=str(path)).init_embeddings()


def _load_unet(path: Path):
    load_weights(path, unet=_empty_unet())


@cache
def _empty_unet() -> nn.Module:
    with torch.device('meta'):
        return build_unet(tiny_arch())


TENSOR = dict(dtype='F32', shape=[4], data_offsets=[0, 16])
HEADERS = {
    'no JSON': b'{"a": ',
    'a list': [TENSOR],
    'a number': 5,
    'deep nesting': b'[' * 100_000,
    'no offsets': dict(a=dict(dtype='F32', shape=[4])),
    'no shape': dict(a=dict(dtype='F32', data_offsets=[0, 16])),
    'an unknown type': dict(a=dict(TENSOR, dtype='F31')),
    'a negative shape': dict(a=dict(TENSOR, shape=[-4])),
    'a shape of floats': dict(a=dict(TENSOR, shape=[4.5])),
    'a shape as text': dict(a=dict(TENSOR, shape='4')),
    'a huge shape': dict(a=dict(TENSOR, shape=[2**62, 2])),
    'another shape': dict(a=dict(TENSOR, shape=[5])),
    'offsets beyond the file': dict(a=dict(TENSOR, shape=[8], data_offsets=[0, 32])),
    'offsets backwards': dict(a=dict(TENSOR, data_offsets=[16, 0])),
    'negative offsets': dict(a=dict(TENSOR, data_offsets=[-16, 0])),
    'overlapping offsets': dict(a=TENSOR, b=TENSOR),
    'a gap': dict(a=dict(TENSOR, shape=[2], data_offsets=[8, 16])),
    'metadata as text': dict(a=TENSOR, __metadata__='text'),
    'metadata of numbers': dict(a=TENSOR, __metadata__=dict(format=5)),
}


def _headers():
    for title, header in HEADERS.items():
        content = safetensors(header)
        yield _case('Stable Diffusion', f'header: {title}', _load_unet, 'sd.safetensors', content)
        yield _case('adapter', f'header: {title}', _load_lora, 'lora.safetensors', content)
    for title, start in {'longer than the file': b'\xff\xff', 'beyond memory': b'\xff' * 8}.items():
        content = start.ljust(8, b'\0') + safetensors(dict(a=TENSOR))[8:]
        yield _case('Stable Diffusion', f'header: {title}', _load_unet, 'sd.safetensors', content)


WEIGHTS = 'unet/diffusion_pytorch_model.safetensors'
SHARD = 'unet/diffusion_pytorch_model-00001-of-00002.safetensors'
FOLDERS = {
    'empty': {},
    'other parts': {'vae/model.safetensors': save({'a': EMBEDDINGS})},
    'an empty part': {'unet/config.json': b'{}'},
    'weights in front of the part': {'diffusion_pytorch_model.safetensors': save({'a': EMBEDDINGS})},
    'another name': {'unet/weights.safetensors': save({'a': EMBEDDINGS})},
    'weights of another model': {WEIGHTS: save({'a': EMBEDDINGS})},
    'no weights in it': {WEIGHTS: save({})},
    'an empty file': {WEIGHTS: b''},
    'one of two files': {SHARD: save({'a': EMBEDDINGS})},
    'two variants': {WEIGHTS.replace('.', f'.{kind}.'): save({'a': EMBEDDINGS}) for kind in ('fp16', 'ema')},
}


def _folders():
    for title, files in FOLDERS.items():
        yield Case('Stable Diffusion', f'folder: {title}', partial(_load_folder, files), ('unet', 'U-Net'))
    for checkpoint in ('', ' ', '..', 'a b/c', 'weights.pth', '/nowhere', '~nobody', 'a/b/c'):
        yield Case(
            'Stable Diffusion', f'checkpoint {checkpoint!r}', partial(_load_unet, checkpoint), ('eights', 'unet')
        )


def _load_folder(files: dict[str, bytes]):
    with TemporaryDirectory(prefix='case-') as folder:
        for name, content in files.items():
            (Path(folder) / name).parent.mkdir(exist_ok=True)
            (Path(folder) / name).write_bytes(content)
        _load_unet(folder)


DOWN = 'unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight'
UP = DOWN.replace('lora_A', 'lora_B')
# What is saved in place of the weights ``w`` of a good adapter.
ADAPTERS = {
    'nothing in it': lambda w: {},
    'of another U-Net': lambda w: {name: torch.ones(3, 320) for name in w},
    'of other layers': lambda w: {name.replace('down_blocks.0', 'down_blocks.9'): weight for name, weight in w.items()},
    'half a layer': lambda w: {name: weight for name, weight in w.items() if name != UP},
    'all downs': lambda w: {name: weight for name, weight in w.items() if 'lora_A' in name},
    'ranks that differ': lambda w: w | {UP: torch.ones(w[UP].shape[0], 2)},
    'rank 0': lambda w: w | {DOWN: w[DOWN][:0], UP: w[UP][:, :0].contiguous()},
    'a huge rank': lambda w: w | {DOWN: torch.ones(5000, w[DOWN].shape[1]), UP: torch.ones(w[UP].shape[0], 5000)},
    'a vector': lambda w: w | {DOWN: torch.ones(5)},
    'a number': lambda w: w | {DOWN: torch.tensor(1.0)},
    'one more': lambda w: w | {'unet.conv_in.weight': torch.ones(3)},
    'the whole U-Net': lambda w: {f'unet.{name}': weight for name, weight in make_unet().state_dict().items()},
    'the text encoder': lambda w: {f'text_encoder.{name}': weight for name, weight in w.items()},
    'NaN': lambda w: w | {UP: w[UP] * NAN},
    'one infinity': lambda w: w | {DOWN: _set_first(w[DOWN], INF)},
    'huge weights': lambda w: w | {UP: torch.full_like(w[UP], 1e30)},
    'integers': lambda w: w | {UP: w[UP].long()},
    'booleans': lambda w: w | {UP: w[UP].bool()},
    'complex': lambda w: w | {UP: w[UP] + 0j},
    'alpha NaN': lambda w: w | {DOWN.replace('lora_A.weight', 'alpha'): torch.tensor(NAN)},
    'alpha 0': lambda w: w | {DOWN.replace('lora_A.weight', 'alpha'): torch.tensor(0.0)},
    'alpha 1e30': lambda w: w | {DOWN.replace('lora_A.weight', 'alpha'): torch.tensor(1e30)},
    'alpha of two numbers': lambda w: w | {DOWN.replace('lora_A.weight', 'alpha'): torch.ones(2)},
    'alpha of no layer': lambda w: w | {'unet.conv_in.alpha': torch.tensor(1.0)},
}


def _set_first(weight: torch.Tensor, value: float) -> torch.Tensor:
    weight = weight.clone()
    weight[0, 0] = value
    return weight


def _adapters():
    for title, change in ADAPTERS.items():
        made = partial(lambda change: save(change(dict(_adapter()))), change)
        yield _case('adapter', title, _load_lora, 'lora.safetensors', made)
        if title in ('NaN', 'half a layer', 'one more'):
            made = partial(lambda change: _saved(change(dict(_adapter()))), change)
            yield _case('adapter', f'{title}, pickled', _load_lora, 'lora.bin', made)
    for title, content in {
        'a list': [1],
        'a tensor': EMBEDDINGS,
        'texts': {'a': 'b'},
        'a command': Call(os.system, 'true'),
    }.items():
        yield _case('adapter', f'pickled {title}', _load_lora, 'lora.bin', partial(_saved, content))


NUMBERS = (NAN, INF, -1, 0, 1e30, '6', True, [6], {}, 10**400)
PATTERNS = ([3], 3, {ENDLESS: 3}, {'attn1.to_q': 'x'}, {'attn1.to_q': [3]}, {'attn1.to_q': NAN}, {'': 3})
SETTINGS = {
    'r': (*NUMBERS[2:], 2),
    'lora_alpha': (*(value for value in NUMBERS if value != -1), -1e9),  # a negative scaling turns an adapter around
    'rank_pattern': PATTERNS,
    'alpha_pattern': PATTERNS,
    'lora_dropout': (NAN, -1, 1, '0', [0]),
    'use_rslora': (1, 'yes', [True]),
    'use_dora': (True,),
    'modules_to_save': (['conv_in'],),
}


def _settings_of_adapters():
    for field, values in SETTINGS.items():
        for value in values:
            made = partial(_with_metadata, {f'unet.{field}': value})
            yield _case('adapter', f'{field}={value!r:.60}', _load_lora, 'lora.safetensors', made)
    for title, text in {
        'broken': '{"unet.r": 3',
        'a list': '[]',
        'a number': '3',
        'empty': '',
        'deep': '[' * 100_000,
        'long': ' ' * 2**21,
    }.items():
        yield _case('adapter', f'metadata {title}', _load_lora, 'lora.safetensors', partial(_with_metadata, text))


def _with_metadata(metadata: dict | str) -> bytes:
    text = metadata if isinstance(metadata, str) else json.dumps(dict(_metadata(), **metadata))
    return save(_adapter(), metadata=dict(lora_adapter_metadata=text))


def _metadata() -> dict:
    return {'unet.r': 3, 'unet.lora_alpha': 6}


@cache
def _adapter() -> dict[str, torch.Tensor]:
    """The weights of a good adapter of rank 3."""
    with TemporaryDirectory(prefix='case-') as folder:
        save_lora(make_unet(r=3), folder)
        (file,) = Path(folder).iterdir()
        return load(file.read_bytes())


def _load_lora(path: Path):
    load_lora(_unet(), path)


@cache
def _unet():
    return make_unet()
