"""Claims of papers, and whether the toy experiments show them."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from marked_blocks import table

from .tables import NOT_MEASURED, Cell, Value, command_of

HEADINGS = ('claim', 'source', 'our figure', 'command', 'shown here?')
YES, NO, UNCLEAR = 'yes', 'no', 'unclear'


@dataclass(frozen=True)
class Claim:
    """A claim that one value is better than another.

    It is shown if this is so for the mean and for every seed, and refuted if the opposite is so for every seed.

    Args:
        text (str): What is claimed.
        source (str): Where, in Markdown.
        ours (Value): The value that should be better.
        other (Value): The value that should be worse.
        unit (str): Name of the measure, behind the numbers.
        better (Callable): ``max`` or ``min``, the better of two values. Defaults to ``max``.
    """

    text: str
    source: str
    ours: Value
    other: Value
    unit: str
    better: Callable = max

    @property
    def values(self) -> list[Cell]:
        """Both values."""
        return [self.ours, self.other]

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row."""
        figure = f'{self.ours.render()} against {self.other.render()} {self.unit}'
        measured = any(value.read() for value in self.values)
        return (
            self.text,
            self.source,
            figure if measured else NOT_MEASURED,
            f'`{command_of(self.values)}`',
            self.verdict(),
        )

    def verdict(self) -> str:
        """Return whether the claim is shown."""
        if not all(value.is_complete for value in self.values):
            return NOT_MEASURED
        ours, other = (value.by_seed() for value in self.values)
        pairs = [(ours[seed], other[seed]) for seed in ours.keys() & other.keys()]
        pairs.append((mean(ours.values()), mean(other.values())))
        wins = [first != second and self.better(first, second) == first for first, second in pairs]
        losses = [first != second and self.better(first, second) == second for first, second in pairs]
        return YES if all(wins) else NO if all(losses) else UNCLEAR


@dataclass(frozen=True)
class Untested:
    """A claim that toy scenes cannot test.

    Args:
        text (str): What is claimed.
        source (str): Where, in Markdown.
        reason (str): Why not.
    """

    text: str
    source: str
    reason: str
    values = ()

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the row."""
        return self.text, self.source, self.reason, '', 'not testable here'


@dataclass(frozen=True)
class Claims:
    """A table with a row for each claim.

    Args:
        rows (tuple[Claim | Untested, ...]): The claims.
    """

    rows: tuple

    @property
    def values(self) -> list[Cell]:
        """The values of all claims."""
        return [value for claim in self.rows for value in claim.values]

    def render(self) -> str:
        """Return the table in Markdown."""
        return table(HEADINGS, [claim.cells() for claim in self.rows])
