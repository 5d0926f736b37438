"""Locate a checkpoint: a single file, a diffusers folder, or a repository of the Hugging Face hub."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from huggingface_hub import snapshot_download, try_to_load_from_cache
from mmengine.logging import MMLogger

from mmdiffperc.files import read_json

from .architectures import PART_PRESETS, PRESETS, TOKENIZERS
from .weight_file import FOREIGN_FORMATS

FILE_SUFFIXES = ('.ckpt', '.pt', '.pth', '.safetensors', '.bin')
Checkpoint = str | Path | Mapping[str, str | Path]
_HUB_ID = re.compile(r'[\w][\w.-]*/[\w][\w.-]*')
_HUB_FILE = re.compile(rf'(?P<repository>{_HUB_ID.pattern})/(?P<file>[\w./-]+)')
# diffusion_pytorch_model.fp16.safetensors, model-00001-of-00002.safetensors, pytorch_model.bin, ...
_WEIGHTS = re.compile(
    r'(?P<stem>diffusion_pytorch_model|pytorch_model|model)(?P<variant>\.\w+)?'
    r'(?:-(?P<shard>\d+)-of-(?P<shards>\d+))?(?P<late_variant>\.\w+)?\.(?P<format>safetensors|bin)'
)
_TEXT_ENCODERS = {tokenizer: part for part, tokenizer in TOKENIZERS.items()}
# Part -> what else to do if a checkpoint lacks it.
_HINTS = {
    'text_encoder_2': ' Only SDXL has a second text encoder; if the weights belong to another model, set its arch.'
}
_TOKENIZER_FILES = ('tokenizer.json', 'vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json')


@dataclass(frozen=True)
class Source:
    """A checkpoint on this machine: the files that hold its parts.

    Args:
        files (Mapping[str, Sequence[Path]]): The files of each located part: one, all shards, or a single file that
            also holds other parts. A checkpoint without a tokenizer has no files for it.
    """

    files: Mapping[str, Sequence[Path]]

    def config(self, part: str, class_name: str) -> tuple[Path, dict]:
        """Return the path and the content of the config of a part, which is empty if the checkpoint has none.

        Args:
            part (str): The part.
            class_name (str): The class that the config must name. A file of weights may lie beside any other config.
        """
        path = self.files[part][0].parent / 'config.json'
        config = read_json(path) if path.is_file() else {}
        return path, config if config.get('_class_name') == class_name else {}

    def tokenizer(self, part: str = 'text_encoder') -> Path | None:
        """Return the folder of the tokenizer of a text encoder, or None if the checkpoint has none."""
        files = self.files.get(TOKENIZERS[part])
        return files[0].parent if files else None


def locate(checkpoint: Checkpoint, parts: Sequence[str], variant: str | None = None) -> Source:
    """Find parts of a checkpoint, and download those that are neither on this machine nor in the hub's cache.

    All parts are found before the first is downloaded.

    Args:
        checkpoint (str | Path | Mapping): A single file, a diffusers folder, a hub id ``organisation/name``, a file on
            the hub ``organisation/name/file``, ``'tiny-sd'`` or ``'tiny-taesd'``; or one of these for each part. A
            folder or repository of a single part may hold it directly. The tokenizer comes from where the text encoder
            is.
        parts (Sequence[str]): Any of ``'unet'``, ``'vae'``, ``'text_encoder'``, ``'tokenizer'``.
        variant (str, optional): The variant of a folder or repository, such as ``'fp16'``. A part without this variant
            is taken from its plain files, or else from the only variant it has, with a warning, provided that another
            part has the variant or comes from elsewhere. Default: the plain files, or else the only variant.

    Raises:
        FileNotFoundError: A checkpoint does not exist and does not look like a hub id; or it lacks a part, a shard or
            the variant. The message names all faults.
        RuntimeError: The hub cannot be reached and its cache lacks a part; the message names all parts.
        ValueError: A folder holds a part twice.
    """
    places, faults, plans = _places(checkpoint, parts), [], []
    if missing := places.pop(None, ()):
        faults.append(FileNotFoundError(f'checkpoint={dict(checkpoint)}: add a source of {", ".join(missing)}'))
    for place, wanted in places.items():
        try:
            plans.append(_plan(place, wanted, variant, is_known=len(places) > 1))
        except (FileNotFoundError, RuntimeError) as error:
            faults.append(error)
    _raise_all(faults)
    return Source({part: files for fetch in plans for part, files in fetch().items()})


def _raise_all(faults: Sequence[Exception]):
    if len(faults) > 1:
        raise FileNotFoundError('\n'.join(map(str, faults)))
    if faults:
        raise faults[0]


def _places(checkpoint: Checkpoint, parts: Sequence[str]) -> dict[str | None, list[str]]:
    """Return the parts to take from each place; those of None have no source."""
    places = defaultdict(list)
    for part in parts:
        place = checkpoint
        if isinstance(checkpoint, Mapping):
            place = checkpoint.get(_TEXT_ENCODERS.get(part, part))
            if place is None and part in _TEXT_ENCODERS:
                continue  # the message names the text encoder
        places[None if place is None else str(place)].append(part)
    return places


Fetch = Callable[[], dict[str, list[Path]]]


def _plan(place: str, parts: Sequence[str], variant: str | None, is_known: bool) -> Fetch:
    """Find parts in one place; calling the result downloads what is not on this machine, and returns the files."""
    path = (PRESETS | PART_PRESETS['vae']).get(place) or Path(place).expanduser()
    if path.is_dir():
        return partial(_in_folder, path, parts, _select(_names_in(path), parts, variant, place, is_known))
    if path.exists():
        return lambda: _in_file(path, parts)
    if path.suffix not in FILE_SUFFIXES and _HUB_ID.fullmatch(place):
        return _in_hub(place, parts, variant, is_known)
    if path.suffix in FILE_SUFFIXES and (match := _HUB_FILE.fullmatch(place)):
        return _file_in_hub(match['repository'], match['file'], parts)
    raise FileNotFoundError(
        f'No weights at {place!r} (seen from {Path.cwd()}). Expected a diffusers folder, a single file '
        f'({", ".join(FILE_SUFFIXES)}), or a hub id such as "stable-diffusion-v1-5/stable-diffusion-v1-5".'
    )


def _names_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for pattern in ('*', '*/*') for path in folder.glob(pattern)]


def _in_folder(folder: Path, parts: Sequence[str], selected: Mapping[str, Sequence[str]]) -> dict[str, list[Path]]:
    return {part: [folder / name for name in selected[part]] for part in parts}


def _in_file(path: Path, parts: Sequence[str]) -> dict[str, list[Path]]:
    return {part: [] if part in _TEXT_ENCODERS else [path] for part in parts}


def _in_hub(repo_id: str, parts: Sequence[str], variant: str | None, is_known: bool) -> Fetch:
    """Take the files from the hub's cache without a request to the network, or plan to download them."""
    if folder := _cached(repo_id, parts):
        with suppress(FileNotFoundError):  # the cache has another variant, or a download was interrupted
            return partial(_in_folder, folder, parts, _select(_names_in(folder), parts, variant, repo_id, is_known))
    names = [file.filename for file in _ask_hub(repo_id, parts, dry_run=True)]
    selected = _select(names, parts, variant, repo_id, is_known)
    files = [PurePosixPath(name) for part in parts for name in selected[part]]
    needed = {str(path) for path in files} | {str(path.with_name('config.json')) for path in files}
    return lambda: _in_folder(Path(_ask_hub(repo_id, parts, allow_patterns=sorted(needed))), parts, selected)


def _cached(repo_id: str, parts: Sequence[str]) -> Path | None:
    """Return the repository's folder in the cache if it has a config of every part."""
    folders = set()
    for part in parts:
        config = 'tokenizer_config.json' if part in _TEXT_ENCODERS else 'config.json'
        names = [f'{part}/{config}', *([config] if _is_alone(parts) else [])]
        found = [(name, path) for name in names if isinstance(path := try_to_load_from_cache(repo_id, name), str)]
        if not found:
            return None
        name, path = found[0]
        folders.add(Path(path.removesuffix(name)))
    return folders.pop()


def _file_in_hub(repo_id: str, name: str, parts: Sequence[str]) -> Fetch:
    if isinstance(cached := try_to_load_from_cache(repo_id, name), str):
        return lambda: _in_file(Path(cached), parts)
    if name not in [file.filename for file in _ask_hub(repo_id, parts, [name], dry_run=True)]:
        raise FileNotFoundError(f'The repository {repo_id!r} of the Hugging Face hub has no file {name!r}')
    return lambda: _in_file(Path(_ask_hub(repo_id, parts, [name], allow_patterns=[name])) / name, parts)


def _ask_hub(repo_id: str, parts: Sequence[str], files: Sequence[str] = (), **options) -> str | list:
    try:
        return snapshot_download(repo_id, **options)
    except Exception as error:  # the hub's client raises errors of several libraries
        raise RuntimeError(f'{_how_to_download(repo_id, parts, files)} The client says: {error}') from error


def _how_to_download(repo_id: str, parts: Sequence[str], files: Sequence[str]) -> str:
    include = ' '.join(f'"{name}"' for name in files or [f'{part}/*' for part in parts])
    usual = dict.fromkeys(_TEXT_ENCODERS, '*') | dict.fromkeys(TOKENIZERS, 'model.safetensors')
    files = files or [f'{part}/{usual.get(part, "diffusion_pytorch_model.safetensors")}' for part in parts]
    return (
        f'{repo_id!r} is not a local file or folder, so it was taken for a repository of the Hugging Face hub. It is '
        'not in the local cache and cannot be reached (no network, a wrong name, or a licence to accept first). '
        f'Needed: {", ".join(files)}. Either run `hf download {repo_id} --include {include}` where there is network, '
        'with the same HF_HOME, or download these files elsewhere, keep the subfolders, and give that folder as '
        'checkpoint.'
    )


def _is_alone(parts: Sequence[str]) -> bool:
    return len(set(parts) - set(_TEXT_ENCODERS)) == 1


def _select(
    names: Iterable[str], parts: Sequence[str], variant: str | None, where: str, is_known: bool
) -> dict[str, list[str]]:
    """Choose the files of each part among the names (``part/file`` or ``file``) in a folder or repository."""
    names = sorted(names)
    weights = _by_variant(names)
    is_known |= variant is None or any(variant in variants for variants in weights.values())
    selected, faults = {}, []
    for part in [part for part in parts if part not in _TEXT_ENCODERS]:
        if _is_alone(parts) and '.' in weights:
            _move_to_part(weights, part, where)
        try:
            selected[part] = _select_weights(weights, names, part, variant, where, is_known)
        except FileNotFoundError as error:
            faults.append(error)
    _raise_all(faults)
    for tokenizer in [part for part in parts if part in _TEXT_ENCODERS]:
        in_folder = [name for name in names if PurePosixPath(name).parent.name == tokenizer]
        selected[tokenizer] = in_folder or [name for name in names if name in _TOKENIZER_FILES]
    return selected


def _move_to_part(weights: dict[str, dict], part: str, where: str):
    """Count the weights that lie directly in the folder or repository of a single part as those of the part."""
    if part in weights:
        raise ValueError(
            f'{where!r} holds two sources of {part!r}, in {part}/ and directly: give {where.rstrip("/")}/{part}, or '
            'the file'
        )
    weights[part] = weights.pop('.')


def _select_weights(
    weights: dict, names: list[str], part: str, variant: str | None, where: str, is_known: bool
) -> list[str]:
    variants = weights.get(part, {})
    if not variants:
        _refuse_foreign_formats(names, part, where)
    found = variants[variant if variant in variants else _stand_in(weights, part, variant, where, is_known)]
    if any(match['format'] == 'safetensors' for match, _ in found):
        found = [(match, name) for match, name in found if match['format'] == 'safetensors']
    if len(models := {match['stem']: name for match, name in found}) > 1:
        names = ' and '.join(map(repr, models.values()))
        raise ValueError(f'{where!r} holds two sources of {part!r}, {names}: remove one, or give the file of one')
    if whole := [name for match, name in found if match['shard'] is None]:
        return whole
    expected = int(found[0][0]['shards'])
    if len(found) != expected:
        raise FileNotFoundError(
            f'{where!r} holds {len(found)} of the {expected} files that {found[0][1]!r} belongs to: add the others.'
        )
    return [name for _, name in found]


def _by_variant(names: Iterable[str]) -> dict[str, dict[str | None, list[tuple[re.Match, str]]]]:
    """Return the weights among the names, by part and variant."""
    weights = defaultdict(lambda: defaultdict(list))
    for path in map(PurePosixPath, names):
        if match := _WEIGHTS.fullmatch(path.name):
            variant = (match['variant'] or match['late_variant'] or '').lstrip('.') or None
            weights[str(path.parent)][variant].append((match, str(path)))
    return weights


def _refuse_foreign_formats(names: Iterable[str], part: str, where: str):
    for path in map(PurePosixPath, names):
        if str(path.parent) == part and (program := FOREIGN_FORMATS.get(path.suffix)):
            raise FileNotFoundError(
                f'{where!r} holds the weights of {part!r} in the format of {program} ({path.name}); expected '
                'safetensors or bin. Take the PyTorch files of the same model'
            )


def _stand_in(
    weights: dict[str, dict[str | None, list]], part: str, variant: str | None, where: str, is_known: bool
) -> str | None:
    """Return the variant to take for a part that lacks the wanted one; raise ``FileNotFoundError`` if there is none."""
    there = weights.get(part, {})
    if not is_known or not (None in there or len(there) == 1):
        kinds = {name: sorted(kind or 'plain' for kind in variants) for name, variants in weights.items()}
        raise FileNotFoundError(
            f'{where!r} holds no weights of {part!r} (variant wanted: {variant or "plain"}, there: {kinds or "none"}). '
            f'Choose one of the variants, or add {part}/*.safetensors or {part}/*.bin.{_HINTS.get(part, "")}'
        )
    taken = None if None in there else next(iter(there))
    MMLogger.get_current_instance().warning(
        f'{where!r} has no {variant or "plain"} weights of {part!r}; taking the {taken or "plain"} ones.'
    )
    return taken
