"""Where a checkpoint lies: a file, a diffusers folder, or a repository of the Hugging Face hub."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from logging import WARNING
from pathlib import Path, PurePosixPath

from huggingface_hub import snapshot_download, try_to_load_from_cache
from mmengine.logging import print_log

from .part_files import FOREIGN_FORMATS

FILE_SUFFIXES = ('.ckpt', '.pt', '.pth', '.safetensors', '.bin')
_HUB_ID = re.compile(r'[\w][\w.-]*/[\w][\w.-]*')
_CONFIGS = {'tokenizer': 'tokenizer_config.json'}
# diffusion_pytorch_model.fp16.safetensors, model-00001-of-00002.safetensors, pytorch_model.bin, ...
_WEIGHTS = re.compile(
    r'(?:diffusion_pytorch_model|pytorch_model|model)(?P<variant>\.\w+)?'
    r'(?:-(?P<shard>\d+)-of-(?P<shards>\d+))?(?P<late_variant>\.\w+)?\.(?P<format>safetensors|bin)'
)


def locate_checkpoint(checkpoint: str | Path, parts: Sequence[str], variant: str | None = None) -> Path:
    """Find a checkpoint, downloading from the hub what is needed and not in its cache.

    Args:
        checkpoint (str | Path): A single file, a diffusers folder, or a hub id ``organisation/name``.
        parts (Sequence[str]): The subfolders needed: ``'unet'``, ``'vae'``, ``'text_encoder'``, ``'tokenizer'``.
        variant (str, optional): The variant needed, e.g. ``'fp16'``.

    Returns:
        Path: An existing file or folder.

    Raises:
        FileNotFoundError: Neither a file nor a folder nor the shape of a hub id.
        RuntimeError: A hub id that is not in the cache and cannot be downloaded.
    """
    path = Path(checkpoint).expanduser()
    if path.exists():
        return path
    if path.suffix not in FILE_SUFFIXES and _HUB_ID.fullmatch(str(checkpoint)):
        return _hub_folder(str(checkpoint), parts, variant)
    raise FileNotFoundError(
        f'No weights at {str(checkpoint)!r} (seen from {Path.cwd()}). Expected a diffusers folder, a single file '
        f'({", ".join(FILE_SUFFIXES)}), or a hub id such as "stable-diffusion-v1-5/stable-diffusion-v1-5".'
    )


def weight_files(folder: Path, part: str, variant: str | None = None) -> list[Path]:
    """List the files that hold one part of a diffusers folder: one file, or all its shards.

    Args:
        folder (Path): The diffusers folder.
        part (str): Its subfolder.
        variant (str, optional): The variant to take, such as ``'fp16'``. A part that lacks it is taken from its plain
            files, or else from the only variant there is, with a warning, provided that another part of the folder has
            it. Default: the plain files, or else the only variant there is.

    Raises:
        FileNotFoundError: No weights, no part with the variant asked for, or not all shards.
    """
    names = [f'{file.parent.name}/{file.name}' for file in folder.glob('*/*')]
    return [folder / name for name in _select(names, part, variant, str(folder))]


def _hub_folder(repo_id: str, parts: Sequence[str], variant: str | None) -> Path:
    """Take what the hub's cache has, without asking the network; otherwise download."""
    configs = [try_to_load_from_cache(repo_id, f'{part}/{_CONFIGS.get(part, "config.json")}') for part in parts]
    if not all(isinstance(config, str) for config in configs):
        return _download(repo_id, parts, variant)
    folder = Path(configs[0]).parents[1]
    try:
        for part in parts:
            weight_files(folder, part, variant)
    except FileNotFoundError:  # another variant is cached, or a download was interrupted
        return _download(repo_id, parts, variant)
    return folder


def _download(repo_id: str, parts: Sequence[str], variant: str | None) -> Path:
    names = [file.filename for file in _ask_hub(repo_id, parts, dry_run=True)]
    needed = [name for part in parts for name in _select(names, part, variant, repo_id)]
    configs = [f'{part}/config.json' for part in parts]
    return Path(_ask_hub(repo_id, parts, allow_patterns=needed + configs))


def _ask_hub(repo_id: str, parts: Sequence[str], **options) -> str | list:
    try:
        return snapshot_download(repo_id, **options)
    except Exception as error:  # the hub's client raises errors of several libraries
        raise RuntimeError(f'{_how_to_download(repo_id, parts)} The client says: {error}') from error


def _select(names: Iterable[str], part: str, variant: str | None, where: str) -> list[str]:
    """Choose files of one part among the names (``part/file``) of a folder or repository."""
    names = sorted(names)
    if part == 'tokenizer':
        return _required([name for name in names if str(PurePosixPath(name).parent) == part], part, where)
    weights = _by_variant(names)
    found = weights.get(part, {})
    if not found:
        _refuse_foreign_formats(names, part, where)
    if variant not in found:
        variant = _stand_in(weights, part, variant, where)
    found = found[variant]
    if any(match['format'] == 'safetensors' for match, _ in found):
        found = [(match, name) for match, name in found if match['format'] == 'safetensors']
    whole = [name for match, name in found if match['shard'] is None]
    return whole or _all_shards(found, where)


def _by_variant(names: Iterable[str]) -> dict[str, dict[str | None, list[tuple[re.Match, str]]]]:
    """Return the weights among the names, by part and variant."""
    weights = defaultdict(lambda: defaultdict(list))
    for path in map(PurePosixPath, names):
        if match := _WEIGHTS.fullmatch(path.name):
            weights[str(path.parent)][_variant(match)].append((match, str(path)))
    return weights


def _refuse_foreign_formats(names: Iterable[str], part: str, where: str):
    """Name the program whose weights a folder holds, if it holds none of PyTorch.

    Raises:
        FileNotFoundError: It holds such weights.
    """
    own = (PurePosixPath(name) for name in names if str(PurePosixPath(name).parent) == part)
    for path in own:
        if program := FOREIGN_FORMATS.get(path.suffix):
            raise FileNotFoundError(
                f'{where!r} holds the weights of {part!r} in the format of {program} ({path.name}); expected '
                'safetensors or bin. Take the PyTorch files of the same model'
            )


def _stand_in(weights: dict[str, dict[str | None, list]], part: str, variant: str | None, where: str) -> str | None:
    """Return the variant of a part that is taken where the one asked for is missing.

    Raises:
        FileNotFoundError: None can be.
    """
    there = weights.get(part, {})
    is_known = variant is None or any(variant in variants for variants in weights.values())
    if not is_known or not (None in there or len(there) == 1):
        kinds = {name: sorted(kind or 'plain' for kind in variants) for name, variants in weights.items()}
        raise FileNotFoundError(
            f'{where!r} holds no weights of {part!r} (variant wanted: {variant or "plain"}, there: {kinds or "none"}). '
            f'Choose a variant that is there, or add {part}/*.safetensors or {part}/*.bin.'
        )
    taken = None if None in there else next(iter(there))
    print_log(
        f'{where!r} has no {variant or "plain"} weights of {part!r}; taking the {taken or "plain"} ones.',
        'current',
        WARNING,
    )
    return taken


def _variant(match: re.Match) -> str | None:
    return (match['variant'] or match['late_variant'] or '').lstrip('.') or None


def _all_shards(found: list[tuple[re.Match, str]], where: str) -> list[str]:
    expected = int(found[0][0]['shards'])
    if len(found) != expected:
        raise FileNotFoundError(
            f'{where!r} holds {len(found)} of the {expected} files that {found[0][1]!r} belongs to: add the others.'
        )
    return [name for _, name in found]


def _required(names: list[str], part: str, where: str) -> list[str]:
    if not names:
        raise FileNotFoundError(f'{where!r} has no folder {part!r}.')
    return names


def _how_to_download(repo_id: str, parts: Sequence[str]) -> str:
    include = ' '.join(f'"{part}/*"' for part in parts)
    files = ', '.join(f'{part}/{_usual_file(part)}' for part in parts)
    return (
        f'{repo_id!r} is not a local file or folder, so it was taken for a repository of the Hugging Face hub. It is '
        'not in the local cache and cannot be reached (no network, a wrong name, or a licence to accept first). '
        f'Needed: {files}. Either run `hf download {repo_id} --include {include}` where there is network, with the '
        'same HF_HOME, or download these files elsewhere, keep the subfolders, and give that folder as checkpoint.'
    )


def _usual_file(part: str) -> str:
    return {'tokenizer': '*', 'text_encoder': 'model.safetensors'}.get(part, 'diffusion_pytorch_model.safetensors')
