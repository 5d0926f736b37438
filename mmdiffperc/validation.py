"""One validator for the arguments of all classes.

The annotations of ``__init__`` declare types and ranges once, and :func:`validated` checks every call against them
while the object is built. pydantic decides strictly what fits: ``True`` is not a number, ``'False'`` is not a bool, and
NaN and infinity are refused unless an annotation allows them. A list is accepted for a tuple, and an int for a float.
Arguments are not converted: ``__init__`` receives them unchanged.
"""

import inspect
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_type_hints

import numpy as np
from annotated_types import Predicate
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError, core_schema

from mmdiffperc.files import brief
from mmdiffperc.nearest import nearest_names

STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True, allow_inf_nan=False)
_MAX_NAMES = 16
_VARIADIC = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


@dataclass(frozen=True)
class Expected:
    """Part of an annotation: what an error message says was expected, instead of pydantic's text.

    Args:
        what (str): A description such as ``'a whole number from 1 to 9'``.
    """

    what: str

    def __get_pydantic_core_schema__(self, source, handler):
        """Make pydantic report this for every wrong value."""
        message = f'expected {self.what}'
        return core_schema.custom_error_schema(handler(source), 'expected', custom_error_message=message)


def options(names: Iterable[str], what: str) -> BeforeValidator:
    """Part of the annotation of a dict: the only keys that it may have.

    Args:
        names (Iterable[str]): The keys.
        what (str): What was expected, for the message if the value is not a dict.
    """
    names = tuple(names)

    def check(value):
        if not isinstance(value, Mapping):
            raise _error(f'expected {what}')
        for key in value:
            if key not in names:
                raise _error(_unknown(key, names))
        return value

    return BeforeValidator(check)


def _error(message):
    return PydanticCustomError('expected', '{message}', dict(message=message))


def _plain(value):
    """Convert numbers and arrays of numpy, ranges and tuples to types that pydantic supports."""
    if isinstance(value, (np.generic, np.ndarray)):
        return value.tolist()
    return list(value) if isinstance(value, (range, tuple)) else value


def _are_distinct(values: Sequence) -> bool:
    return all(value not in values[:index] for index, value in enumerate(values))


def _is_visible(text: str) -> bool:
    return bool(text.strip()) and text.isprintable()


def _is_typed(config: dict) -> bool:
    return isinstance(config.get('type'), str) or callable(config.get('type'))


Item = TypeVar('Item')
Listed = Annotated[Sequence[Item], BeforeValidator(_plain), Field(min_length=1)]
Distinct = Predicate(_are_distinct)

PositiveInt = Annotated[int, Field(ge=1, lt=2**31), Expected('a positive whole number')]
NonNegativeInt = Annotated[int, Field(ge=0, lt=2**31), Expected('a whole number of 0 or more')]
Width = Annotated[int, Field(ge=1, le=65536), Expected('a whole number from 1 to 65536')]
Label = Annotated[int, Field(ge=-(2**31), lt=2**31), Expected('a whole number')]

FiniteFloat = Annotated[float, Expected('a finite number')]
PositiveFloat = Annotated[float, Field(gt=0), Expected('a positive, finite number')]
NonNegativeFloat = Annotated[float, Field(ge=0), Expected('a finite number of 0 or more')]
Fraction = Annotated[float, Field(ge=0, le=1), Expected('a number from 0 to 1')]

PositiveOrInfinite = Annotated[float, Field(gt=0, allow_inf_nan=True), Expected('a positive number, or infinity')]

Text = Annotated[str, Predicate(_is_visible), Expected('a string of printable characters')]
Location = Annotated[Text | Path, Expected('a path or name, which is not empty')]
Widths = Annotated[Listed[Width], Expected('a list of whole numbers from 1 to 65536, one for each level')]
Stride = Annotated[int, Field(ge=1, le=1024)]
Strides = Annotated[Listed[Stride], Expected('a list of strides in pixels, whole numbers from 1 to 1024')]
Size2d = Annotated[
    Listed[PositiveInt], Field(min_length=2, max_length=2), Expected('two positive whole numbers (height, width)')
]
Initialisation = Annotated[dict | Listed[dict], Expected('a config with its type, or a list of them')]
Component = Annotated[dict, Predicate(_is_typed), Expected("a config with its type, such as dict(type='...')")]


def validated(cls: type) -> type:
    """Check the arguments of a class by the annotations of its ``__init__``, whenever an object is built.

    Names that neither the class nor its bases accept are refused, and the nearest accepted ones suggested. For an
    inherited ``__init__``, only the names are checked. The signature of the class does not change, nor how its objects
    are copied, pickled or called.

    Args:
        cls (type): The class to decorate.

    Returns:
        type: The same class. It then raises ``ValueError`` for a value that does not fit and ``TypeError`` for a
        missing or unknown argument; both name the class, the argument and what was expected.
    """
    init = cls.__init__
    signature = inspect.signature(init)
    own = '__init__' in vars(cls)
    hints, plain_hints = (_hints_of(cls, include_extras) if own else {} for include_extras in (True, False))

    @cache
    def validators():
        names = [name for name, parameter in signature.parameters.items() if parameter.kind not in _VARIADIC]
        return {name: Validator(hints[name]) for name in names if name in hints}

    @wraps(init)
    def validated_init(self, *args, **kwargs):
        owner = type(self).__name__
        known = _known_arguments(type(self), cls)
        for name in kwargs:
            if name not in known:
                raise TypeError(f'{owner}: {_unknown(name, known)}')
        for name, value in _bind(signature, owner, self, args, kwargs).items():
            if name in validators():
                validators()[name].check(f'{owner}: {name}', value)
        init(self, *args, **kwargs)

    validated_init.__signature__ = signature.replace(
        parameters=[p.replace(annotation=plain_hints.get(p.name, p.annotation)) for p in signature.parameters.values()]
    )
    cls.__init__ = validated_init
    return cls


def _hints_of(cls, include_extras):
    return get_type_hints(cls.__init__, localns={cls.__name__: cls}, include_extras=include_extras)


class Validator:
    """Check values against an annotation.

    Args:
        hint (Any): The annotation, such as ``Strides | None``.
    """

    def __init__(self, hint: Any):
        # In a tuple, because pydantic accepts no configuration for some types on their own.
        self._adapter = TypeAdapter(tuple[hint], config=STRICT)
        self._alternative = ', or None' if type(None) in get_args(hint) else ''

    def check(self, name: str, value: object):
        """Check a value.

        Args:
            name (str): Name of the value, for the message.
            value (object): The value.

        Raises:
            ValueError: It does not fit the annotation.
        """
        try:
            self._adapter.validate_python((_plain(value),))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(self._message(name, value, first['loc'][1:], first['type'], first['msg'])) from None

    def _message(self, name, given, path, kind, reason):
        value = given
        for part in path:  # besides keys and indices, the path names the alternative that pydantic tried
            if isinstance(value, Mapping) and part in value:
                name, value = f'{name}.{part}', value[part]
            elif isinstance(value, (list, tuple)) and isinstance(part, int):
                name, value = f'{name}[{part}]', value[part]
        if kind == 'missing':
            return f'{name}={_quote(value)}: expected an entry {path[-1]!r}, which is missing'
        if kind == 'sequence_str':
            reason = 'expected a list'
        reason = reason.replace('Input should be', 'expected').replace('Value should have', 'expected')
        alternative = self._alternative if value is given and reason.startswith('expected') else ''
        return f'{name}={_quote(value)}: {reason}{alternative}'


class _Notation(reprlib.Repr):
    """Quote values as in a config, with a few entries of each container, and briefly."""

    def __init__(self):
        super().__init__()
        self.maxdict = self.maxlist = self.maxtuple

    def repr_instance(self, value, level):
        return brief(value)

    repr_str = repr_int = repr_instance
    repr_ConfigDict = reprlib.Repr.repr_dict  # mmengine's


_quote = _Notation().repr


def _bind(signature, owner, instance, args, kwargs) -> dict:
    try:
        return signature.bind(instance, *args, **kwargs).arguments
    except TypeError as error:
        names = [name for name, parameter in signature.parameters.items() if parameter.kind not in _VARIADIC][1:]
        raise TypeError(f'{owner}: {error}; expected arguments are {", ".join(names) or "none"}') from None


@cache
def _known_arguments(built: type, cls: type) -> tuple[str, ...]:
    """Return the arguments that a class accepts, or passes on by ``**kwargs`` when an object of ``built`` is built."""
    names = []
    for base in built.__mro__[built.__mro__.index(cls) : -1]:
        if '__init__' not in vars(base):
            continue
        parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
        names += [parameter.name for parameter in parameters if parameter.kind not in _VARIADIC]
        if all(parameter.kind is not inspect.Parameter.VAR_KEYWORD for parameter in parameters):
            break
    return tuple(dict.fromkeys(names))


def _unknown(name: object, known: Sequence[str]) -> str:
    if nearest := nearest_names(str(name), known):
        return f'no argument {brief(name)}: did you mean {" or ".join(nearest)}?'
    shown = ', '.join(known[:_MAX_NAMES]) or 'none'
    return f'no argument {brief(name)}: expected some of {shown}{", ..." if len(known) > _MAX_NAMES else ""}'
