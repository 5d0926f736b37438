"""The two files of RefCOCO: the JSON of images and objects, and the pickle of sentences about objects ("refs")."""

import io
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mmengine import fileio

from mmdiffperc.coco import check_entries, check_exists, is_count
from mmdiffperc.files import brief, read_json, relative_name

MOST_SENTENCES = 1_000_000  # RefCOCO has 142,000; a small pickle can repeat one list endlessly
LONGEST_SENTENCE = 2_000  # characters
SENTENCE_FIELDS = ('sent', 'raw')  # cleaned: lower case, no punctuation; as typed
# Lists, dicts, strings, numbers, and names, which the unpickler then refuses. Other opcodes execute code, build keys
# that take hours to hash (tuples of tuples), or allocate memory of any length (byte arrays).
OPCODES = frozenset(
    'PROTO FRAME MARK STOP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT '
    'STRING BINSTRING SHORT_BINSTRING BINBYTES BINBYTES8 SHORT_BINBYTES UNICODE BINUNICODE BINUNICODE8 '
    'SHORT_BINUNICODE EMPTY_LIST LIST APPEND APPENDS EMPTY_DICT DICT SETITEM SETITEMS '
    'PUT BINPUT LONG_BINPUT MEMOIZE GET BINGET LONG_BINGET GLOBAL STACK_GLOBAL INST'.split()
)
IDS = ('ref_id', 'ann_id', 'image_id', 'category_id')
# The segmentation of an annotation is checked when a sentence refers to it.
FIELDS = dict(
    images=('image', ('id', 'file_name', 'height', 'width')),
    annotations=('annotation', ('id', 'image_id', 'category_id')),
    categories=('category', ('id',)),
)


class _Refused(Exception):
    """A pickle refers to a class, a function, or anything else that sentences do not need."""


def _refuse(opcode: pickletools.OpcodeInfo) -> Callable:
    def load(unpickler):
        raise _Refused(opcode.name)

    return load


class _PlainUnpickler(pickle._Unpickler):
    """Build lists, dicts, strings and numbers only.

    This is the Python version of Python's unpickler with the opcodes above. The C version allocates a table of objects
    of any length that the file gives, and torch's restricted unpickler only reads the protocols of ``torch.save``.
    """

    dispatch = {
        ord(opcode.code): pickle._Unpickler.dispatch[ord(opcode.code)] if opcode.name in OPCODES else _refuse(opcode)
        for opcode in pickletools.opcodes
    }

    def find_class(self, module: str, name: str):
        """Refuse every class and function."""
        raise _Refused(f'{module}.{name}'[:100])


def load_refs(path: str, backend_args: dict | None = None) -> list[dict]:
    """Read ``refs(unc).p``, ``refs(google).p`` or ``refs(umd).p`` without executing anything in it.

    Args:
        path (str): The file.
        backend_args (dict, optional): Arguments of the storage backend, see ``mmengine.fileio``.

    Returns:
        list[dict]: For every referred object: ``ref_id``, ``ann_id``, ``image_id``, ``category_id``, ``split`` and
        ``sentences``, a list of dicts with the cleaned sentence ``sent``, the sentence as typed ``raw``, or both.

    Raises:
        FileNotFoundError: The file does not exist.
        pickle.UnpicklingError: The file refers to anything but lists, dicts, strings and numbers.
        ValueError: The file is damaged, has other content, or has a ref twice.
    """
    if not path or not fileio.isfile(path, backend_args):
        raise FileNotFoundError(f'{path!r} does not exist or is not a file; check data_root and split_file')
    content = fileio.get(path, backend_args)
    try:
        # Files of Python 2 contain byte strings; Latin-1 decodes any byte, and ASCII unchanged.
        refs = _PlainUnpickler(io.BytesIO(content), encoding='latin-1').load()
    except _Refused as error:
        raise pickle.UnpicklingError(
            f'{path} was refused: it refers to `{error}`, which sentences do not need. Nothing in the file was '
            'executed. If you made it yourself, save it again with plain lists, dicts, strings and ints'
        ) from error
    except Exception as error:  # damaged bytes can make the unpickler fail in any way
        raise ValueError(f'{path} is damaged or not a pickle; get the file again') from error
    _check_refs(path, refs)
    return refs


@dataclass(frozen=True)
class Instances:
    """Images and objects of ``instances.json``.

    Args:
        path (str): Path of the file, for messages.
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
            FileNotFoundError: The file does not exist.
            ValueError: It is not in COCO's format, or the name of an image leads out of its folder.
        """
        check_exists(path, backend_args)
        with fileio.get_local_path(path, backend_args=backend_args) as file:
            content = read_json(file)
        return cls(path, *(_table(path, content.get(name), name) for name in FIELDS))

    def find(self, ref: dict) -> tuple[dict, dict]:
        """Look up the image and the object to which sentences refer.

        Args:
            ref (dict): An entry that :func:`.load_refs` returned.

        Returns:
            tuple[dict, dict]: Entries of the image and the annotation.

        Raises:
            ValueError: One of them or the category does not exist, or the annotation has another image or category.
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
            f'ref {ref["ref_id"]} names {problem} in {self.path}. Refs and annotations must belong to the same data '
            'set: RefCOCO, RefCOCO+ and RefCOCOg have different files'
        )


def _table(path: str, entries: Any, name: str) -> dict[int, dict]:
    """Return the entries of a table by their id."""
    kind, fields = FIELDS[name]
    check_entries(path, kind, entries, fields, whole_ids=True)
    table = {}
    for entry in entries:
        if name == 'images':
            relative_name(entry['file_name'], f'{path}, image {entry["id"]}')
        if (other := table.setdefault(entry['id'], entry)) is not entry and other != entry:
            raise ValueError(
                f"{path} is not in COCO's format: two different {name} have the id {entry['id']}; expected each id once"
            )
    return table


def _check_refs(path: str, refs: Any):
    if not isinstance(refs, list) or not refs:
        raise ValueError(f'{path} is not a refs file: expected a list of refs, got {brief(refs)}')
    numbers, num_sentences = {}, 0
    for number, ref in enumerate(refs):
        if not _is_ref(ref):
            raise ValueError(
                f'{path}: entry {number} is not a ref of RefCOCO: expected ints {", ".join(IDS)} (one object; '
                'gRefCOCO has lists), a split, and sentences with "sent", "raw" or both, texts of at most '
                f'{LONGEST_SENTENCE} characters: {brief(ref, 200)}'
            )
        if (other := numbers.setdefault(ref['ref_id'], number)) != number:
            raise ValueError(
                f'{path}: entries {other} and {number} have the same ref_id {ref["ref_id"]}; expected each once'
            )
        if (num_sentences := num_sentences + len(ref['sentences'])) > MOST_SENTENCES:
            raise ValueError(f'{path}: has more than {MOST_SENTENCES} sentences, the most that are read')


def _is_ref(ref: Any) -> bool:
    return (
        isinstance(ref, dict)
        and all(is_count(ref.get(key)) for key in IDS)
        and isinstance(ref.get('split'), str)
        and isinstance(ref.get('sentences'), list)
        and all(map(_is_sentence, ref['sentences']))
    )


def _is_sentence(entry: Any) -> bool:
    texts = [entry[field] for field in SENTENCE_FIELDS if field in entry] if isinstance(entry, dict) else []
    return bool(texts) and all(isinstance(text, str) and len(text) <= LONGEST_SENTENCE for text in texts)
