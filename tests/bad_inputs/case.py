"""A bad input, and how an answer to it is judged."""

import logging
import re
import signal
import traceback
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mmengine.logging import MMLogger

import mmdiffperc

PACKAGE = str(Path(mmdiffperc.__file__).parent)
SECONDS = 20
ADVICE = re.compile(
    r'expected|did you mean|needs|set |choose|check|leave|must|copy|cannot be|go(?:es)? (?:with|together)|use '
    r'|is one of|is for |the palette has|name their folder|name another|lower one of them|say what|not allowed with'
    r'|exists|translate|load the|load it|is it loaded|likely|again|compare its|run `|add |give |complete the',
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Case:
    """A bad input.

    Args:
        area (str): What it is given to.
        title (str): What is wrong with it.
        call (Callable): Gives it.
        names (tuple[str]): A clear message has one of these, such as the argument or the file.
    """

    area: str
    title: str
    call: Callable[[], object]
    names: tuple[str, ...]

    def __str__(self):
        return f'{self.area}: {self.title}'


@dataclass(frozen=True)
class Answer:
    """What the package answers.

    Args:
        kind (str): ``'clear'``, ``'warned'``, ``'obscure'``, ``'silent'``, ``'hang'`` or ``'crash'``.
        words (str): The message, if there is one.
    """

    kind: str
    words: str = ''


class ToldError(Exception):
    """What a tool has told its user, in one line, before it ended."""


class OutOfTimeError(BaseException):
    """Raised by the alarm; no handler of errors catches it."""


def ask(case: Case) -> Answer:
    """Give a bad input to the package.

    A message is clear if the package itself raises it, and it names the input and says what to do. A warning that does
    so is as good as an error where the input may be meant.
    """
    with _collected_warnings() as warned:
        try:
            with _alarm():
                case.call()
        except OutOfTimeError:
            return Answer('hang')
        except Exception as error:  # of any class: that is what is asked
            words = f'{type(error).__name__}: {error}'
            return Answer('clear' if _is_ours(error) and _is_clear(case, str(error)) else 'obscure', words)
    clear = [words for words in warned if _is_clear(case, words)]
    return Answer('warned', clear[0]) if clear else Answer('silent')


def _is_clear(case, words):
    return any(name in words for name in case.names) and bool(ADVICE.search(words))


def _is_ours(error):
    *_, last = traceback.extract_tb(error.__traceback__)
    return isinstance(error, ToldError) or last.filename.startswith(PACKAGE)


@contextmanager
def _alarm():
    def stop(number, frame):
        raise OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _collected_warnings():
    """What is logged, or warned of, meanwhile."""
    words = []

    class Collector(logging.Handler):
        def emit(self, record):
            if record.levelno >= logging.WARNING:
                words.append(record.getMessage())

    collector = Collector()
    logger = MMLogger.get_current_instance()
    logger.addHandler(collector)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            yield words
            words += [str(warning.message) for warning in caught]
    finally:
        logger.removeHandler(collector)
