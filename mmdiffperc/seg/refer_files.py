"""The two files of RefCOCO: the json of images and objects, and the pickle of the sentences about objects ("refs")."""

import io
import json
import pickle
from dataclasses import dataclass
from typing import Any

from mmengine import fileio

IDS = ('ref_id', 'ann_id', 'image_id', 'category_id')
FIELDS = dict(
    images=('id', 'file_name', 'height', 'width'),
    annotations=('id', 'image_id', 'category_id', 'segmentation'),
    categories=('id',),
)


class _Refused(Exception):
    """A pickle asks for a class or function."""


class _PlainUnpickler(pickle.Unpickler):
    """Builds lists, dicts, strings and numbers.

    Whatever a pickle could execute it has to look up first. (torch's restricted unpickler, on which the loading of
    checkpoints stands, reads the protocols of ``torch.save`` only.)
    """

    def find_class(self, module: str, name: str):
        """Refuse."""
        raise _Refused(f'{module}.{name}')


def load_refs(path: str, backend_args: dict | None = None) -> list[dict]:
    """Read ``refs(unc).p``, ``refs(google).p`` or ``refs(umd).p`` without executing anything in it.

    Args:
        path (str): The file.
        backend_args (dict, optional): Of the file backend, see ``mmengine.fileio``.

    Returns:
        list[dict]: Of every referred object ``ref_id``, ``ann_id``, ``image_id``, ``category_id``, ``split`` and
        ``sentences``, a list of dicts with the sentence as it was typed, ``raw``.

    Raises:
        FileNotFoundError: There is no such file.
        pickle.UnpicklingError: The file asks for a class or function.
        ValueError: The file is damaged, or holds something else.
    """
    content = _read(path, backend_args)
    try:
        # Files of Python 2 hold byte strings; Latin-1 takes any, and ASCII is the same in it.
        refs = _PlainUnpickler(io.BytesIO(content), encoding='latin-1').load()
    except _Refused as error:
        raise pickle.UnpicklingError(
            f'{path} was refused: it asks for `{error}`, which sentences have no need of. Nothing in the file was '
            'executed. If you made it yourself, save it again with plain lists, dicts, strings and ints'
        ) from error
    except Exception as error:  # damaged bytes can make the unpickler fail in any way
        raise ValueError(f'{path} is damaged or no pickle; get the file again') from error
    _check_refs(path, refs)
    return refs


@dataclass(frozen=True)
class Instances:
    """Images and objects of ``instances.json``.

    Args:
        path (str): Of the file, for messages.
        images (dict[int, dict]): Entries by their id.
        annotations (dict[int, dict]): Entries by their id.
        categories (dict[int, dict]): Entries by their id.
    """

    path: str
    images: dict
    annotations: dict
    categories: dict

    @classmethod
    def load(cls, path: str, backend_args: dict | None = None) -> 'Instances':
        """Read the file.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is not in COCO's format.
        """
        try:
            content = json.loads(_read(path, backend_args))
        except ValueError as error:
            raise ValueError(f"{path} is not in COCO's format: it is no json") from error
        return cls(path, *(_table(path, content, name) for name in FIELDS))

    def find(self, ref: dict) -> tuple[dict, dict]:
        """Look up image and object that sentences are about.

        Args:
            ref (dict): One of :func:`.load_refs`.

        Returns:
            tuple[dict, dict]: Entries of the image and of the annotation.

        Raises:
            ValueError: One of them or the category does not exist, or the annotation is of another image or category.
        """
        tables = dict(ann_id=self.annotations, image_id=self.images, category_id=self.categories)
        for key, table in tables.items():
            if ref[key] not in table:
                raise self._mismatch(ref, f'{key} {ref[key]}, which does not exist')
        image, annotation = self.images[ref['image_id']], self.annotations[ref['ann_id']]
        for kind in ('image', 'category'):
            of_ref, of_annotation = (entry[f'{kind}_id'] for entry in (ref, annotation))
            if of_ref != of_annotation:
                raise self._mismatch(
                    ref, f'{kind} {of_ref}, but annotation {annotation["id"]} is of {kind} {of_annotation}'
                )
        return image, annotation

    def _mismatch(self, ref: dict, problem: str) -> ValueError:
        return ValueError(
            f'ref {ref["ref_id"]} names {problem} in {self.path}. Refs and annotations have to be of the same data '
            'set: RefCOCO, RefCOCO+ and RefCOCOg each have their own'
        )


def _read(path: str, backend_args: dict | None) -> bytes:
    if not path or not fileio.isfile(path, backend_args):
        raise FileNotFoundError(f'{path!r} does not exist or is not a file; check data_root, ann_file and split_file')
    return fileio.get(path, backend_args)


def _table(path: str, content: Any, name: str) -> dict[int, dict]:
    """Entries of a table by their id."""
    entries = content.get(name) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path} is not in COCO's format: expected {', '.join(FIELDS)}, got no list of {name}")
    for number, entry in enumerate(entries):
        if absent := [field for field in FIELDS[name] if not isinstance(entry, dict) or field not in entry]:
            raise ValueError(f"{path} is not in COCO's format: entry {number} of {name} has no {', '.join(absent)}")
    return {entry['id']: entry for entry in entries}


def _check_refs(path: str, refs: Any):
    if not isinstance(refs, list) or not refs:
        raise ValueError(f'{path} is no refs file: expected a list of refs, got {type(refs).__name__} {refs!r:.60}')
    for number, ref in enumerate(refs):
        if not _is_ref(ref):
            raise ValueError(
                f"{path}: entry {number} is no ref of RefCOCO's, which has ints {', '.join(IDS)} (one object; "
                f'gRefCOCO has lists), a split, and sentences with "raw": {ref!r:.200}'
            )


def _is_ref(ref: Any) -> bool:
    return (
        isinstance(ref, dict)
        and all(isinstance(ref.get(key), int) for key in IDS)
        and isinstance(ref.get('split'), str)
        and isinstance(ref.get('sentences'), list)
        and all(isinstance(one, dict) and isinstance(one.get('raw'), str) for one in ref['sentences'])
    )
