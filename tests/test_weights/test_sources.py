"""Choosing files among those of a folder or of a repository, and downloading no others."""

import hashlib
import json
import re
import shutil
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from logs import heard

from mmdiffperc.weights.sources import Source, locate

FILES = [
    'README.md',
    'v1-5-pruned.safetensors',
    'unet/config.json',
    'unet/diffusion_pytorch_model.bin',
    'unet/diffusion_pytorch_model.safetensors',
    'unet/diffusion_pytorch_model.fp16.safetensors',
    'unet/diffusion_pytorch_model.non_ema.bin',
    'vae/config.json',
    'vae/diffusion_pytorch_model-00001-of-00002.safetensors',
    'vae/diffusion_pytorch_model-00002-of-00002.safetensors',
    'vae/diffusion_pytorch_model.safetensors.index.json',
    'text_encoder/config.json',
    'text_encoder/flax_model.msgpack',
    'text_encoder/openvino_model.bin',
    'text_encoder/pytorch_model.fp16.bin',
    'tokenizer/merges.txt',
    'tokenizer/tokenizer_config.json',
    'tokenizer/vocab.json',
]
COMMIT = 'c0ffee' * 6 + 'c0ff'


def _names(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


def root_of(source):
    (root,) = {path.parents[1] for paths in source.files.values() for path in paths}
    return root


@pytest.fixture
def folder(tmp_path):
    for name in FILES:
        path = tmp_path / 'repository' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / 'repository'


@pytest.mark.parametrize(
    'part, variant, expected',
    [
        ('unet', None, ['diffusion_pytorch_model.safetensors']),
        ('unet', 'fp16', ['diffusion_pytorch_model.fp16.safetensors']),
        ('unet', 'non_ema', ['diffusion_pytorch_model.non_ema.bin']),
        ('vae', None, [f'diffusion_pytorch_model-0000{n}-of-00002.safetensors' for n in (1, 2)]),
        ('text_encoder', None, ['pytorch_model.fp16.bin']),
    ],
)
def test_files_of_a_part(folder, part, variant, expected):
    assert [path.name for path in locate(folder, [part], variant).files[part]] == expected


def test_another_variant_is_not_taken_silently(folder, caplog):
    with heard(caplog):
        locate(folder, ['unet'])
        assert not caplog.messages
        locate(folder, ['text_encoder'])
    assert "'text_encoder'" in caplog.text and 'fp16' in caplog.text


@pytest.mark.parametrize(
    ('part', 'variant', 'expected', 'taken'),
    [
        ('vae', 'fp16', [f'diffusion_pytorch_model-0000{n}-of-00002.safetensors' for n in (1, 2)], 'plain'),
        ('text_encoder', 'non_ema', ['pytorch_model.fp16.bin'], 'fp16'),
    ],
)
def test_part_without_the_variant(folder, caplog, part, variant, expected, taken):
    """Where another part has the variant: plain files of this one, or else the only variant that it has."""
    with heard(caplog):
        assert [path.name for path in locate(folder, [part], variant).files[part]] == expected
    (message,) = caplog.messages
    assert all(word in message for word in (str(folder), part, variant, taken))


@pytest.mark.parametrize(
    ('name', 'program'),
    [
        ('diffusion_flax_model.msgpack', 'Flax'),
        ('model.onnx', 'ONNX'),
        ('openvino_model.xml', 'OpenVINO'),
        ('diffusion_pytorch_model.gguf', 'GGUF'),
    ],
)
def test_weights_of_another_program(tmp_path, name, program):
    (tmp_path / 'unet').mkdir()
    (tmp_path / 'unet' / name).touch()
    with pytest.raises(FileNotFoundError, match=f"'unet'.*{program}.*{name}"):
        locate(tmp_path, ['unet'])


def test_variant_that_no_part_has(folder):
    with pytest.raises(
        FileNotFoundError, match=r"'vae'.*fp61.*'unet'.*\['fp16', 'non_ema', 'plain'\].*'vae'.*\['plain'\]"
    ):
        locate(folder, ['vae'], 'fp61')
    (folder / 'text_encoder/pytorch_model.bf16.bin').touch()
    with pytest.raises(FileNotFoundError, match=r"'text_encoder'.*non_ema.*\['bf16', 'fp16'\]"):
        locate(folder, ['text_encoder'], 'non_ema')


@pytest.mark.parametrize(
    'stem', ['model.fp16-00001-of-00001', 'model-00001-of-00001.fp16'], ids=['variant first', 'variant last']
)
def test_both_names_of_a_sharded_variant(tmp_path, stem):
    (tmp_path / 'text_encoder').mkdir()
    (tmp_path / 'text_encoder' / f'{stem}.safetensors').touch()
    assert locate(tmp_path, ['text_encoder'], 'fp16').files['text_encoder'][0].name == f'{stem}.safetensors'


def test_local_paths(folder):
    file = folder / 'v1-5-pruned.safetensors'
    assert locate(file, ['unet', 'vae', 'tokenizer']) == Source(dict(unet=[file], vae=[file], tokenizer=[]))


def test_tokenizer(folder):
    names = ['merges.txt', 'tokenizer_config.json', 'vocab.json']
    assert [path.name for path in locate(folder, ['tokenizer']).files['tokenizer']] == names
    shutil.rmtree(folder / 'tokenizer')
    assert locate(folder, ['tokenizer']).files == dict(tokenizer=[])


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as a download takes."""

    def do_GET(self):
        self._answer()

    def do_HEAD(self):
        self._answer()

    def log_message(self, *args):
        pass

    def _answer(self):
        root, path = self.server.root, self.path.partition('?')[0]
        file = root / path.partition(f'/resolve/{COMMIT}/')[2]
        if path.startswith('/api/models/org/name/tree/'):
            self._send(json.dumps([self._entry(name) for name in _names(root)]).encode())
        elif path.startswith('/api/models/org/name'):
            self._send(json.dumps({'id': 'org/name', 'sha': COMMIT, 'siblings': []}).encode())
        elif '/resolve/' in path and file.is_file():
            self._send(file.read_bytes())
        else:
            self.send_error(404)

    def _entry(self, name):
        size = (self.server.root / name).stat().st_size
        return {'type': 'file', 'path': name, 'size': size, 'oid': hashlib.sha1(name.encode()).hexdigest()}

    def _send(self, content):
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(content)))
        self.send_header('X-Repo-Commit', COMMIT)
        self.send_header('ETag', f'"{hashlib.sha1(content).hexdigest()}"')
        self.end_headers()
        if self.command == 'GET':
            self.wfile.write(content)


@pytest.fixture
def hub(folder, tmp_path, monkeypatch):
    """A hub on this machine that serves ``folder`` as ``org/name``."""
    server = ThreadingHTTPServer(('127.0.0.1', 0), _Hub)
    server.root = folder
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f'http://127.0.0.1:{server.server_port}'
    monkeypatch.setattr('huggingface_hub.constants.ENDPOINT', url)
    template = f'{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}'
    monkeypatch.setattr('huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE', template)
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_CACHE', str(tmp_path / 'cache'))
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', False)
    yield server
    server.shutdown()
    server.server_close()


def test_only_what_is_needed_is_downloaded_and_only_once(hub, monkeypatch):
    located = root_of(locate('org/name', ['unet', 'vae']))

    expected = [name for name in FILES if name.startswith('vae/') and 'index' not in name]
    expected += ['unet/config.json', 'unet/diffusion_pytorch_model.safetensors']
    assert _names(located) == sorted(expected)
    assert (located / 'unet/diffusion_pytorch_model.safetensors').read_text().startswith('unet/')

    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    assert root_of(locate('org/name', ['vae'])) == located
    with pytest.raises(RuntimeError, match=r'tokenizer/\*'):
        locate('org/name', ['tokenizer'])

    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', False)
    locate('org/name', ['unet', 'tokenizer'], variant='fp16')
    tokenizer = [name for name in FILES if name.startswith('tokenizer/')]
    assert _names(located) == sorted([*expected, *tokenizer, 'unet/diffusion_pytorch_model.fp16.safetensors'])


def test_repository_without_the_part_or_variant(hub):
    with pytest.raises(FileNotFoundError, match="'org/name'.*'unet_2'"):
        locate('org/name', ['unet_2'])
    with pytest.raises(FileNotFoundError, match=r"bf16.*'unet'.*\['fp16', 'non_ema', 'plain'\]"):
        locate('org/name', ['unet'], variant='bf16')


def test_variant_of_some_parts_is_downloaded(hub, monkeypatch):
    located = root_of(locate('org/name', ['unet', 'text_encoder'], variant='non_ema'))
    names = ['unet/diffusion_pytorch_model.non_ema.bin', 'text_encoder/pytorch_model.fp16.bin']
    assert _names(located) == sorted([*names, 'unet/config.json', 'text_encoder/config.json'])
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    assert root_of(locate('org/name', ['unet', 'text_encoder'], variant='non_ema')) == located


def test_wrong_name_of_a_repository(hub):
    with pytest.raises(RuntimeError, match="'org/nothing'"):
        locate('org/nothing', ['unet'])


def test_neither_path_nor_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for checkpoint in ('org/name.ckpt', './org/name', 'a/b/c', 'name', Path('/nowhere/name')):
        with pytest.raises(FileNotFoundError, match=re.escape(str(checkpoint))):
            locate(checkpoint, ['unet'])


# Part by part


def put(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_each_part_from_elsewhere(folder, tmp_path):
    """A folder that holds only the part, the folder of the part itself, and a file."""
    unet = put(tmp_path / 'other/unet/diffusion_pytorch_model.safetensors')
    vae = put(tmp_path / 'vae-ft-mse/diffusion_pytorch_model.bin')
    clip = put(tmp_path / 'clip.pth')
    source = locate(dict(unet=unet.parents[1], vae=str(vae.parent), text_encoder=clip), ['unet', 'vae', 'text_encoder'])
    assert source == Source(dict(unet=[unet], vae=[vae], text_encoder=[clip]))
    assert locate(dict(unet=folder, vae=vae), ['vae']).files == dict(vae=[vae])


@pytest.mark.parametrize('place', ['text_encoder/model.safetensors', 'model.safetensors'])
def test_the_tokenizer_comes_with_the_text_encoder(folder, tmp_path, place):
    put(tmp_path / 'clip' / place)
    names = ('tokenizer/vocab.json', 'tokenizer/merges.txt') if '/' in place else ('vocab.json', 'merges.txt')
    files = [put(tmp_path / 'clip' / name) for name in names]
    checkpoint = dict(unet=folder, text_encoder=tmp_path / 'clip')
    source = locate(checkpoint, ['unet', 'text_encoder', 'tokenizer'])
    assert source.files['tokenizer'] == sorted(files) and source.tokenizer() == files[0].parent
    source = locate(dict(text_encoder=files[0]), ['text_encoder', 'tokenizer'])
    assert source.files['tokenizer'] == [] and source.tokenizer() is None


def test_all_missing_parts_are_named(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere') as error:
        locate(dict(text_encoder='nowhere', vae=tmp_path, unet=tmp_path), ['unet', 'vae', 'text_encoder', 'tokenizer'])
    assert all(f'weights of {part!r}' in str(error.value) for part in ('unet', 'vae'))
    with pytest.raises(FileNotFoundError, match='vae, text_encoder'):
        locate(dict(unet=folder), ['unet', 'vae', 'text_encoder', 'tokenizer'])
    with pytest.raises(FileNotFoundError, match=r"'unet_2'[\s\S]*'vae_2'"):
        locate(folder, ['unet_2', 'vae_2'])


def test_two_sources_of_one_part(folder):
    put(folder / 'diffusion_pytorch_model.safetensors')
    with pytest.raises(ValueError, match=f"two sources of 'unet'.*{folder}/unet"):
        locate(folder, ['unet'])
    assert len(locate(dict(unet=folder / 'unet'), ['unet']).files['unet']) == 1


def test_two_files_of_one_part(folder):
    put(folder / 'vae/model.safetensors')
    with pytest.raises(ValueError, match="two sources of 'vae'.*vae/diffusion_pytorch_model.*vae/model"):
        locate(folder, ['vae'])


def test_a_variant_of_one_source_only(folder, tmp_path, caplog):
    vae = put(tmp_path / 'vae-ft-mse/diffusion_pytorch_model.safetensors')
    with heard(caplog):
        source = locate(dict(unet=folder, vae=vae.parent), ['unet', 'vae'], 'fp16')
    assert source.files['vae'] == [vae] and 'fp16' in source.files['unet'][0].name
    assert 'vae' in caplog.text and 'fp16' in caplog.text


def test_parts_of_the_hub(hub, folder, tmp_path, monkeypatch):
    """A repository, and a file of a repository; nothing is downloaded if another part is missing."""
    file = 'org/name/v1-5-pruned.safetensors'
    with pytest.raises(FileNotFoundError, match='nowhere'):
        locate(dict(unet='org/name', vae='nowhere'), ['unet', 'vae'])
    assert not list(tmp_path.glob('cache/**/*.safetensors'))

    source = locate(dict(unet='org/name', vae=file), ['unet', 'vae'])
    assert source.files['vae'][0].read_text() == 'v1-5-pruned.safetensors'
    assert source.files['unet'][0].parent.name == 'unet'
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    assert locate(dict(unet='org/name', vae=file), ['unet', 'vae']) == source
    with pytest.raises(RuntimeError, match='hf download org/name --include "other.ckpt"'):
        locate('org/name/other.ckpt', ['unet'])
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', False)
    with pytest.raises(FileNotFoundError, match=r'other\.ckpt'):
        locate('org/name/other.ckpt', ['unet'])


def test_repository_of_one_part(hub, folder, monkeypatch):
    for name in ('config.json', 'diffusion_pytorch_model.safetensors'):
        (folder / name).write_text('{}')
    shutil.rmtree(folder / 'vae')
    located = locate(dict(vae='org/name', unet=folder / 'unet'), ['vae', 'unet']).files['vae'][0]
    assert located.parent.joinpath('config.json').is_file() and located.read_text() == '{}'
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    assert locate('org/name', ['vae']).files['vae'] == [located]
