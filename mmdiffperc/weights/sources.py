"""Locate a checkpoint: a single file, a diffusers folder, or a repository of the Hugging Face hub."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from huggingface_hub import snapshot_download, try_to_load_from_cache
from mmengine.logging import MMLogger

from mmdiffperc.files import read_json

from .architectures import PRESETS
from .weight_file import FOREIGN_FORMATS

FILE_SUFFIXES = ('.ckpt', '.pt', '.pth', '.safetensors', '.bin')
TOKENIZER = 'tokenizer'
_HUB_ID = re.compile(r'[\w][\w.-]*/[\w][\w.-]*')
# diffusion_pytorch_model.fp16.safetensors, model-00001-of-00002.safetensors, pytorch_model.bin, ...
_WEIGHTS = re.compile(
    r'(?:diffusion_pytorch_model|pytorch_model|model)(?P<variant>\.\w+)?'
    r'(?:-(?P<shard>\d+)-of-(?P<shards>\d+))?(?P<late_variant>\.\w+)?\.(?P<format>safetensors|bin)'
)


@dataclass(frozen=True)
class Source:
    """A checkpoint on this machine, and the files that hold its parts.

    Args:
        path (Path): The diffusers folder or the single file.
        files (Mapping[str, Sequence[Path]]): The files of each located part: one, all shards, or the single file. A
            checkpoint without a tokenizer has no files for it.
    """

    path: Path
    files: Mapping[str, Sequence[Path]]

    @property
    def is_folder(self) -> bool:
        """Whether the checkpoint is a diffusers folder."""
        return self.path.is_dir()

    def config(self, part: str) -> dict:
        """Return the config of a part, or an empty one if the checkpoint has none."""
        path = self.path / part / 'config.json'
        return read_json(path) if path.is_file() else {}


def locate(checkpoint: str | Path, parts: Sequence[str], variant: str | None = None) -> Source:
    """Find parts of a checkpoint, and download those that are neither on this machine nor in the hub's cache.

    Args:
        checkpoint (str | Path): A single file, a diffusers folder, a hub id ``organisation/name``, or ``'tiny-sd'``.
        parts (Sequence[str]): Any of ``'unet'``, ``'vae'``, ``'text_encoder'``, ``'tokenizer'``.
        variant (str, optional): The variant of a folder or repository, such as ``'fp16'``. A part without this variant
            is taken from its plain files, or else from the only variant it has, with a warning, provided that another
            part has the variant. Default: the plain files, or else the only variant.

    Raises:
        FileNotFoundError: The checkpoint does not exist and does not look like a hub id; or it lacks a part, a shard or
            the variant.
        RuntimeError: The hub cannot be reached and its cache lacks a part; the message names all parts.
    """
    path = PRESETS.get(str(checkpoint)) or Path(checkpoint).expanduser()
    if path.is_dir():
        return _in_folder(path, parts, variant)
    if path.exists():
        return Source(path, {part: [path] for part in parts})
    if path.suffix not in FILE_SUFFIXES and _HUB_ID.fullmatch(str(checkpoint)):
        return _in_hub(str(checkpoint), parts, variant)
    raise FileNotFoundError(
        f'No weights at {str(checkpoint)!r} (seen from {Path.cwd()}). Expected a diffusers folder, a single file '
        f'({", ".join(FILE_SUFFIXES)}), or a hub id such as "stable-diffusion-v1-5/stable-diffusion-v1-5".'
    )


def _in_folder(folder: Path, parts: Sequence[str], variant: str | None) -> Source:
    names = [f'{file.parent.name}/{file.name}' for file in folder.glob('*/*')]
    return Source(folder, _paths(folder, _select(names, parts, variant, str(folder))))


def _in_hub(repo_id: str, parts: Sequence[str], variant: str | None) -> Source:
    """Take the files from the hub's cache without a request to the network, or download them."""
    configs = {part: f'{part}/tokenizer_config.json' if part == TOKENIZER else f'{part}/config.json' for part in parts}
    cached = [try_to_load_from_cache(repo_id, config) for config in configs.values()]
    if all(isinstance(config, str) for config in cached):
        with suppress(FileNotFoundError):  # the cache has another variant, or a download was interrupted
            return _in_folder(Path(cached[0]).parents[1], parts, variant)
    names = [file.filename for file in _ask_hub(repo_id, parts, dry_run=True)]
    selected = _select(names, parts, variant, repo_id)
    needed = [*configs.values(), *(name for files in selected.values() for name in files)]
    folder = Path(_ask_hub(repo_id, parts, allow_patterns=needed))
    return Source(folder, _paths(folder, selected))


def _ask_hub(repo_id: str, parts: Sequence[str], **options) -> str | list:
    try:
        return snapshot_download(repo_id, **options)
    except Exception as error:  # the hub's client raises errors of several libraries
        raise RuntimeError(f'{_how_to_download(repo_id, parts)} The client says: {error}') from error


def _how_to_download(repo_id: str, parts: Sequence[str]) -> str:
    include = ' '.join(f'"{part}/*"' for part in parts)
    usual = {TOKENIZER: '*', 'text_encoder': 'model.safetensors'}
    files = ', '.join(f'{part}/{usual.get(part, "diffusion_pytorch_model.safetensors")}' for part in parts)
    return (
        f'{repo_id!r} is not a local file or folder, so it was taken for a repository of the Hugging Face hub. It is '
        'not in the local cache and cannot be reached (no network, a wrong name, or a licence to accept first). '
        f'Needed: {files}. Either run `hf download {repo_id} --include {include}` where there is network, with the '
        'same HF_HOME, or download these files elsewhere, keep the subfolders, and give that folder as checkpoint.'
    )


def _paths(folder: Path, selected: Mapping[str, Sequence[str]]) -> dict[str, list[Path]]:
    return {part: [folder / name for name in names] for part, names in selected.items()}


def _select(names: Iterable[str], parts: Sequence[str], variant: str | None, where: str) -> dict[str, list[str]]:
    """Choose the files of each part among the names (``part/file``) in a folder or repository."""
    names = sorted(names)
    weights = _by_variant(names)
    selected = {part: _select_weights(weights, names, part, variant, where) for part in parts if part != TOKENIZER}
    tokenizer = [name for name in names if PurePosixPath(name).parent.name == TOKENIZER]
    return selected | ({TOKENIZER: tokenizer} if TOKENIZER in parts else {})


def _select_weights(weights: dict, names: list[str], part: str, variant: str | None, where: str) -> list[str]:
    variants = weights.get(part, {})
    if not variants:
        _refuse_foreign_formats(names, part, where)
    found = variants[variant if variant in variants else _stand_in(weights, part, variant, where)]
    if any(match['format'] == 'safetensors' for match, _ in found):
        found = [(match, name) for match, name in found if match['format'] == 'safetensors']
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


def _stand_in(weights: dict[str, dict[str | None, list]], part: str, variant: str | None, where: str) -> str | None:
    """Return the variant to take for a part that lacks the wanted one; raise ``FileNotFoundError`` if there is none."""
    there = weights.get(part, {})
    is_known = variant is None or any(variant in variants for variants in weights.values())
    if not is_known or not (None in there or len(there) == 1):
        kinds = {name: sorted(kind or 'plain' for kind in variants) for name, variants in weights.items()}
        raise FileNotFoundError(
            f'{where!r} holds no weights of {part!r} (variant wanted: {variant or "plain"}, there: {kinds or "none"}). '
            f'Choose one of the variants, or add {part}/*.safetensors or {part}/*.bin.'
        )
    taken = None if None in there else next(iter(there))
    MMLogger.get_current_instance().warning(
        f'{where!r} has no {variant or "plain"} weights of {part!r}; taking the {taken or "plain"} ones.'
    )
    return taken
