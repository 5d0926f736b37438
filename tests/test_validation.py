"""The validator on small classes; what each class of the package declares is tested in ``tests/bad_inputs``."""

import copy
import inspect
import pickle
import re
from typing import Annotated, Literal

import numpy as np
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import Registry
from pydantic import Field
from torch import nn

from mmdiffperc.validation import (
    Component,
    Distinct,
    Expected,
    FiniteFloat,
    Fraction,
    Initialisation,
    Listed,
    Location,
    NonNegativeInt,
    PositiveInt,
    Size2d,
    Strides,
    Text,
    Validator,
    Width,
    Widths,
    validated,
)

SMALL = Registry('small')


@SMALL.register_module()
@validated
class Base(nn.Module):
    """With arguments of several kinds."""

    def __init__(
        self,
        width: Width,
        config: dict | None = None,
        other: 'Base | None' = None,
        mode: Literal['a', 'b'] = 'a',
        deep: bool = False,
    ):
        super().__init__()
        self.layer = nn.Linear(width, 2)
        self.config, self.other, self.mode, self.deep = config, other, mode, deep

    def forward(self, x):
        """Apply the layer."""
        return self.layer(x)


@SMALL.register_module()
@validated
class Derived(Base):
    """With one more, and those of its base."""

    def __init__(self, *args, strides: Strides = (8, 16), **kwargs):
        super().__init__(*args, **kwargs)
        self.strides = strides


@validated
class Plain:
    """Without any."""


GOOD = [
    (PositiveInt, 1),
    (PositiveInt, np.int64(3)),
    (NonNegativeInt, 0),
    (FiniteFloat, 2),
    (FiniteFloat, np.float32(2)),
    (Fraction, 1.0),
    (bool, np.bool_(True)),
    (Widths, [8, 16]),
    (Widths, range(1, 4)),
    (Widths, np.array([3, 4])),
    (Widths, torch.Size([3, 4])),
    (Size2d, (352, 1216)),
    (Annotated[Listed[int], Distinct], (1, 2)),
    (Text, 'ein Überweg'),
    (Text, '木'),
    (Component, ConfigDict(type='A', x=1)),
    (Component, dict(type=Base)),
    (Initialisation, [dict(type='Normal', layer='Conv2d')]),
]
BAD = [
    (PositiveInt, True, 'it=True'),
    (PositiveInt, 0, 'it=0'),
    (PositiveInt, 1.0, 'it=1.0'),
    (PositiveInt, 2**999, 'it=a number of 1000 bits'),
    (PositiveInt | None, '1', "it='1'"),
    (FiniteFloat, float('nan'), 'it=nan'),
    (FiniteFloat, float('inf'), 'it=inf'),
    (FiniteFloat, False, 'it=False'),
    (float, float('nan'), 'it=nan'),
    (Fraction, 1.01, 'it=1.01'),
    (bool, 'False', "it='False'"),
    (bool, 1, 'it=1'),
    (Widths, '88', "it='88'"),
    (Widths, [], 'it=[]'),
    (Widths, [8, 0], 'it=[8, 0]'),
    (Widths, np.array([0.5]), 'it=ndarray'),
    (Size2d, (3,), 'it=(3,)'),
    (Annotated[Listed[int], Distinct, Expected('each once')], (1, 1), 'each once'),
    (Text, ' ', "it=' '"),
    (Text, 'a\0b', "it='a\\x00b'"),
    (Location, '', "it=''"),
    (Literal['a', 'b'], 'c', "'a' or 'b'"),
    (Component, dict(x=1), "it={'x': 1}"),
    (Component, ConfigDict(type=None), "it={'type': None}"),
    (Listed[Annotated[int, Field(ge=3)]], [3, 1], 'it[1]=1'),
    (dict[str, FiniteFloat], dict(a=1.0, b='x'), "it.b='x'"),
]


@pytest.mark.parametrize(('hint', 'value'), GOOD)
def test_what_fits(hint, value):
    Validator(hint).check('it', value)


@pytest.mark.parametrize(('hint', 'value', 'message'), BAD)
def test_what_does_not_fit(hint, value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Validator(hint).check('it', value)


def test_messages_are_short_and_name_the_class_that_is_built():
    with pytest.raises(ValueError, match='width=0.*65536'):
        Derived(0)
    with pytest.raises(ValueError, match='other=5'):
        Base(3, other=5)
    with pytest.raises(ValueError) as error:
        Derived(3, strides=['x' * 10**6] * 10**4)
    assert len(str(error.value)) < 1000 and 'pydantic' not in str(error.value)


def test_unknown_and_missing_arguments():
    with pytest.raises(TypeError, match=r"'stride'"):
        Derived(3, stride=(8,))
    with pytest.raises(TypeError, match=r"'xyz'"):
        Derived(3, xyz=1)
    with pytest.raises(TypeError, match=r"missing.*'width'"):
        Derived()
    with pytest.raises(TypeError, match='Base.*positional'):
        Base(1, None, None, 'a', True, 6)
    with pytest.raises(TypeError, match="'x'"):
        Plain(x=1)
    assert isinstance(Plain(), Plain)


def test_a_subclass_may_have_other_arguments():
    class Narrow(Derived):
        def __init__(self, halves):
            super().__init__(width=2 * halves, deep=True)

    assert Narrow(halves=2).layer.in_features == 4
    with pytest.raises(ValueError, match='width=-2'):
        Narrow(-1)


def test_values_arrive_as_they_are():
    config, other = ConfigDict(type='A', inner=dict(x=1)), Base(3)
    built = Base(3, config, other)
    assert built.config is config and built.config.inner.x == 1 and built.other is other
    model = SMALL.build(Config(dict(model=dict(type='Derived', width=4, config=dict(a=dict(b=1)), strides=[4]))).model)
    assert type(model.config) is ConfigDict and model.config.a.b == 1 and model.strides == [4]


def test_a_class_stays_what_it_was(tmp_path):
    assert str(inspect.signature(Derived)) == '(*args, strides: collections.abc.Sequence[int] = (8, 16), **kwargs)'
    assert list(inspect.signature(Base).parameters) == ['width', 'config', 'other', 'mode', 'deep']
    assert inspect.signature(Base).parameters['width'].annotation is int
    assert Base.__doc__ == 'With arguments of several kinds.' and Base.__init__.__qualname__ == 'Base.__init__'
    built = Derived(3, deep=True)
    for twin in (copy.deepcopy(built), pickle.loads(pickle.dumps(built))):
        torch.testing.assert_close(twin(torch.ones(1, 3)), built(torch.ones(1, 3)))
        assert twin.deep is True and twin.strides == (8, 16)
