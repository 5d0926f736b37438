from mmdiffperc.parameter_names import common_modules


def test_a_part_is_the_longest_common_name_within_a_submodule():
    names = ['backbone.unet.conv_in.weight', 'backbone.unet.out.0.bias', 'neck.scale', 'head.conv.weight', 'head.bias']
    assert common_modules(names) == ['backbone.unet', 'neck.scale', 'head']


def test_names_are_compared_module_by_module():
    assert common_modules(['head.conv1.weight', 'head.conv2.weight']) == ['head']
