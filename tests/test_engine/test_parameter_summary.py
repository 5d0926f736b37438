"""Which custom key sets the options of a parameter."""

from mmdiffperc.engine.parameter_summary import matching_keys


def test_the_longest_key_in_a_name_wins():
    keys = ['unet', 'norm', 'backbone.unet']
    assert matching_keys(['backbone.unet.norm.bias', 'neck.norm.bias', 'neck.bias'], keys) == ['backbone.unet', 'norm']


def test_keys_of_one_length_are_tried_alphabetically():
    assert matching_keys(['unet.norm.bias'], ['unet', 'norm']) == ['norm']
