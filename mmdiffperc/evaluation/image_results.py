"""The measures of single images: which images count in the means, and tables with a row for each image."""

import csv
import io
import json
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from annotated_types import Predicate
from mmengine.logging import print_log

from mmdiffperc.files import quoted, write_whole
from mmdiffperc.validation import Expected, Location

SUFFIXES = ('.csv', '.json')
TablePath = Annotated[
    Location,
    Predicate(lambda path: Path(path).suffix in SUFFIXES),
    Expected(f'the path of a file that ends in {" or ".join(SUFFIXES)}'),
]


@dataclass
class ImageResult:
    """The measures of an image, or the reason why it has none.

    Args:
        name (str): Path or name of the image.
        measures (dict): Its measures by name, and anything else that a metric keeps of an image. Defaults to none.
        excluded (str): Why the image does not count. Defaults to '', if it does.
    """

    name: str
    measures: dict = field(default_factory=dict)
    excluded: str = ''


def counted(results: Sequence[ImageResult]) -> list[ImageResult]:
    """Return the results that count, and log a warning that names the other images by reason."""
    names_by_reason = {}
    for result in results:
        if result.excluded:
            names_by_reason.setdefault(result.excluded, []).append(result.name)
    for reason, names in names_by_reason.items():
        message = f'{len(names)} of {len(results)} images are left out of the means: {reason} ({quoted(names)})'
        print_log(message, logger='current', level=logging.WARNING)
    return [result for result in results if not result.excluded]


def write_table(path: str | Path, results: Sequence[ImageResult], measures: Sequence[str]):
    """Write one row for each image, with its name, its measures, and why it is left out of the means.

    In a CSV file, a measure that is undefined or infinite is ``nan`` or ``inf``, and those of images that are left out
    are empty. In a JSON file, which holds a list of objects, all of them are null.

    Args:
        path (str | Path): File to write, which ends in ``.csv`` or ``.json``.
        results (Sequence[ImageResult]): The rows.
        measures (Sequence[str]): The measures to write, in this order.
    """
    rows = [
        dict(image=result.name)
        | {name: result.measures.get(name) for name in measures}
        | dict(excluded=result.excluded)
        for result in results
    ]
    write_whole(path, _to_json(rows) if Path(path).suffix == '.json' else _to_csv(rows, measures))


def _to_csv(rows, measures):
    content = io.StringIO()
    writer = csv.DictWriter(content, ['image', *measures, 'excluded'], lineterminator='\n')
    writer.writeheader()
    writer.writerows(rows)
    return content.getvalue()


def _to_json(rows):
    plain = [
        {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row.items()}
        for row in rows
    ]
    return json.dumps(plain, indent=2, ensure_ascii=False)
