"""A progress bar for work that may take more than a few seconds."""

from collections.abc import Iterable
from typing import Any

from mmengine.dist import is_main_process
from tqdm import tqdm

DELAY = 2  # seconds


def progress(items: Iterable | None, what: str, unit: str, **options: Any) -> tqdm:
    """Iterate over items, and show the progress and an estimate of the time left.

    The bar appears on stderr after two seconds, so that short work shows none. With several processes, only the main
    process shows it.

    Args:
        items (Iterable | None): What to iterate over. With None, pass ``total`` and call ``update`` of the bar.
        what (str): The text before the bar.
        unit (str): What is counted, such as 'image'.
        **options: Further arguments of ``tqdm``, such as ``total``.
    """
    return tqdm(items, desc=what, unit=unit, delay=DELAY, disable=not is_main_process(), **options)
