"""Export a part of a model, and compare the file with PyTorch."""

import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from functools import partial
from pathlib import Path

import sympy
import torch
from diffusers import UNet2DConditionModel
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.overrides import TorchFunctionMode

from mmdiffperc.files import brief, whole_files
from mmdiffperc.version import __version__

from .part import Part

# onnxruntime 1.32 collects telemetry in the home folder from the moment it is imported.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')

TOLERANCE = 1e-3  # largest difference, relative to the largest number of an output
# At the end of the place of a guard: PyTorch's functions that choose between layouts in memory.
LAYOUT = re.compile(r' in \w*contiguous\w*')
Sizes = Sequence[tuple[int, Sequence[int]]]  # batch size, and height and width of the images


def check_sizes(part: Part, dynamic: bool, size: Sequence[int], batch_size: int) -> Sizes:
    """Return the sizes at which an exported part is compared with PyTorch; the first is the example for tracing.

    The sizes of a dynamic part have several cells of the coarsest feature on each side, because PyTorch treats an axis
    of length 1 as fixed. The example cannot be divided by anything, because PyTorch may treat what divides it as fixed.
    """
    if not dynamic:
        return [(batch_size, size)]
    cell = max(part.coarsest, 16)
    batches = (batch_size,) * 3 if 'batch' in part.fixed else (2, 1, 3)
    sizes = (2 * cell + part.stride, 3 * cell - part.stride), (2 * cell, 3 * cell), (3 * cell - 1, 2 * cell + 1)
    return list(zip(batches, sizes, strict=True))


def export_part(
    part: Part, path: Path, sizes: Sizes, dynamic: bool = False, metadata: Mapping[str, str] | None = None
) -> dict[str, float]:
    """Export a part, and compare the file with PyTorch. The file appears only if they agree.

    Args:
        part (Part): The part.
        path (Path): The file to write: ``.onnx``, or ``.pt2`` for ``torch.export.load``. The weights of an ONNX file
            above 2 GB are in a second one, whose name has ``.data`` appended.
        sizes (Sequence): The sizes to compare, see :func:`check_sizes`.
        dynamic (bool): Whether the file takes images of all sizes. Defaults to False.
        metadata (Mapping[str, str], optional): Facts about the model, for the file.

    Returns:
        dict[str, float]: For each output, the largest difference from PyTorch, relative to the largest number.

    Raises:
        RuntimeError: The file computes something else.
        ValueError: A part of the module cannot be exported.
    """
    write, load = WRITERS[path.suffix]
    part.module.requires_grad_(False).eval()
    examples = [part.examples(*size) for size in sizes]
    with torch.no_grad():
        references = [_as_tuple(part.module(*example)) for example in examples]  # before, because this fills the caches
        program = trace(part, examples, dynamic)
        with whole_files(path.parent) as folder:
            write(part, program, folder / path.name, dynamic, {**describe(part), **(metadata or {})})
            differences = _compare(load(folder / path.name, part), examples, references)
            if not max(differences) <= TOLERANCE:
                remedy = 'Export a single size with --size' if dynamic else 'Export another part'
                raise RuntimeError(
                    f'{path}: the exported file differs from PyTorch by up to {max(differences):.2g}, relative to the '
                    f'largest number; expected at most {TOLERANCE}. {remedy}'
                )
    return dict(zip(part.outputs, differences, strict=True))


def _compare(run: Callable, examples: Sequence[tuple], references: Sequence[tuple]) -> list[float]:
    """Return the largest difference of each output from PyTorch, over all examples."""
    try:
        results = [_as_tuple(run(example)) for example in examples]
    except Exception as error:  # the errors of ONNX Runtime have no base but this
        raise RuntimeError(f'The exported file does not run: {brief(str(error), 400)}. Export another part') from error
    of_outputs = zip(zip(*results, strict=True), zip(*references, strict=True), strict=True)
    return [max(map(_difference, of_file, of_torch)) for of_file, of_torch in of_outputs]


def describe(part: Part) -> dict[str, str]:
    """Return the inputs and outputs of a part, and the versions that export it, as text for metadata."""
    inputs = {name: dict(axes=each.axes, meaning=each.meaning) for name, each in part.inputs.items()}
    versions = dict(mmdiffperc=__version__, torch=torch.__version__)
    return dict(part.metadata, inputs=json.dumps(inputs), outputs=json.dumps(dict(part.outputs)), **versions)


def trace(part: Part, examples: Sequence[tuple[torch.Tensor, ...]], dynamic: bool) -> ExportedProgram:
    """Trace a part with PyTorch.

    Args:
        part (Part): The part.
        examples (Sequence): Inputs of several sizes. The first ones are traced.
        dynamic (bool): Whether the program should work for all sizes.

    Raises:
        ValueError: A module of the part cannot be traced, or works only with the sizes of the example.
    """
    axes = part.dynamic_axes() if dynamic else ()
    for module in part.module.modules():
        if isinstance(module, UNet2DConditionModel):
            # diffusers passes the sizes of skip connections to the up blocks only if a side cannot be divided by
            # 2 ** num_upsamplers. A graph has either way, and this one is right for all sizes.
            module.num_upsamplers = 31
    dims = tuple(dict.fromkeys(each, Dim.AUTO) for each in axes) if dynamic else None
    watch = Watch(part.module, axes, examples[-1])
    # PyTorch prints the whole graph if a trace fails.
    with watch.watching(), NoAdaptivePooling(dynamic), redirect_stderr(io.StringIO()):
        try:
            program = torch.export.export(part.module, examples[0], dynamic_shapes=dims, strict=False)
        except Exception as error:  # the code of the model runs, and may fail in any way without the values of tensors
            raise ValueError(f'{watch.place} cannot be exported: {brief(str(error), 400)}') from error
    if watch.fixed:
        raise ValueError(
            f'{watch.fixed} depends on the size of the example, so it cannot be exported for all sizes: export a '
            'single size with --size'
        )
    return program


class Watch:
    """Note which submodule runs while a module is traced, and which one first fixes a dynamic size.

    Args:
        module (nn.Module): The module to trace.
        axes (Sequence[Mapping[int, str]]): Index and name of the dynamic axes of each input.
        others (Sequence[Tensor]): Inputs of other sizes than the traced ones.

    Attributes:
        fixed (str | None): Name of the submodule with which PyTorch first assumed something about the sizes that is
            wrong for the other inputs.
    """

    def __init__(self, module: nn.Module, axes: Sequence[Mapping[int, str]], others: Sequence[torch.Tensor]):
        self.module = module
        self.axes = axes
        self.others = others
        self.fixed = None
        self._running = []
        self._shapes = None
        self._lengths = {}
        self._num_checked = 0

    @property
    def place(self) -> str:
        """Name of the innermost submodule that runs, or failed."""
        return next((name for name in reversed(self._running) if name), 'The model')

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch all submodules."""
        handles = []
        for name, module in self.module.named_modules():
            handles += [
                module.register_forward_pre_hook(partial(self._enter, name.removeprefix('model.'))),
                module.register_forward_hook(self._leave),
            ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _enter(self, name, module, inputs):
        if not self._running:
            for traced, other, axes in zip(inputs, self.others, self.axes, strict=False):
                for index in axes:
                    self._shapes = traced.shape[index].node.shape_env
                    self._lengths[traced.shape[index].node.expr] = other.shape[index]
        self._check_guards()  # those of the module around it, so far
        self._running.append(name)

    def _leave(self, module, inputs, output):
        self._check_guards()
        self._running.pop()

    def _check_guards(self):
        guards = self._shapes.guards[self._num_checked :] if self._shapes else []
        self._num_checked += len(guards)
        if not self.fixed and (fixing := next(filter(self._fixes_size, guards), None)):
            self.fixed = f'{self.place} {fixing.sloc}'

    def _fixes_size(self, guard) -> bool:
        # Guards about the layout in memory do not change the result. All guards other than equations are of this kind.
        is_equation = isinstance(guard.expr, sympy.Eq) and not LAYOUT.search(str(guard.sloc))
        return is_equation and guard.expr.subs(self._lengths) == sympy.false


class NoAdaptivePooling(TorchFunctionMode):
    """Refuse adaptive pooling of dynamic sizes, which PyTorch would analyse for hours.

    Args:
        dynamic (bool): Whether sizes are dynamic.
    """

    def __init__(self, dynamic: bool):
        super().__init__()
        self.dynamic = dynamic

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call the function unless it is adaptive pooling to several cells.

        Raises:
            ValueError: It is.
        """
        if (
            self.dynamic
            and func.__name__ in ('adaptive_avg_pool2d', 'adaptive_max_pool2d')
            and args[1] not in (1, (1, 1))
        ):
            raise ValueError(
                f'{func.__name__} to {args[1]} cells depends on the size. Export a single size with --size'
            )
        return func(*args, **(kwargs or {}))


def write_onnx(part: Part, program: ExportedProgram, path: Path, dynamic: bool, metadata: Mapping[str, str]):
    """Convert a program to ONNX.

    Raises:
        ValueError: An operation has no counterpart in ONNX.
    """
    try:
        converted = torch.onnx.export(
            program,
            (),
            dynamo=True,
            input_names=list(part.inputs),
            output_names=list(part.outputs),
            dynamic_shapes=part.dynamic_axes() if dynamic else None,
            verbose=False,
        )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ValueError(_without_counterpart(program, error)) from error
    converted.model.metadata_props.update(metadata)
    converted.save(path)


def _without_counterpart(program: ExportedProgram, error: Exception) -> str:
    """Return a message that names the operation that could not be converted, and the module that contains it."""
    text = str(error.__cause__ or error)
    found = re.search(r'target=torch\.ops\.([\w.]+)', text)
    operation = found[1] if found else None
    place = 'The model'
    for node in program.run_decompositions().graph.nodes:
        if str(node.target) == operation and node.meta.get('nn_module_stack'):
            place = list(node.meta['nn_module_stack'].values())[-1][0].removeprefix('model.')
            break
    reason = f'ONNX has no counterpart of {operation}' if operation else brief(text, 400)
    return f'{place} cannot be exported to ONNX: {reason}. Export to a .pt2 file, or export another part'


def load_onnx(path: Path, part: Part) -> Callable:
    """Return a function that runs an ONNX file on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])

    def run(inputs):
        named = zip(part.inputs, inputs, strict=True)
        return tuple(map(torch.from_numpy, session.run(None, {name: each.numpy() for name, each in named})))

    return run


def write_program(part: Part, program: ExportedProgram, path: Path, dynamic: bool, metadata: Mapping[str, str]):
    """Write a program for ``torch.export.load``."""
    content = io.BytesIO()  # if the disk is full, PyTorch's own writer ends the process
    torch.export.save(program, content, extra_files={'metadata.json': json.dumps(dict(metadata))})
    path.write_bytes(content.getbuffer())


def load_program(path: Path, part: Part) -> Callable:
    """Return a function that runs a file of :func:`write_program`."""
    # Its guards also demand the layout in memory that the example had, which does not matter.
    module = torch.export.load(path).module(check_guards=False)
    return lambda inputs: module(*inputs)


WRITERS = {'.onnx': (write_onnx, load_onnx), '.pt2': (write_program, load_program)}


def _as_tuple(outputs) -> tuple[torch.Tensor, ...]:
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)


def _difference(result: torch.Tensor, reference: torch.Tensor) -> float:
    if result.shape != reference.shape:
        return float('inf')
    return float((result - reference).abs().max() / reference.abs().max().clamp(min=1e-12))
