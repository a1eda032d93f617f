"""What the real SDK may take silently while a model runs is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.simulated_sdk_tests.lifecycle import Plan, Runner, activate, build, normalised
from tests.support.networks import SIDE, random_images
from tests.support.simulated_sdk import misuse, simulated

IMAGES = random_images(4)


# ---- tensors


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (IMAGES.tolist(), "array is a list"),
        (IMAGES.astype(np.float32), "the array is float32, input 'data' is uint8"),
        (IMAGES.astype(np.int8), "the array is int8"),
        (IMAGES[:, ::-1], "not C-contiguous"),
        (IMAGES[:3], r"the array is \[3, 16, 16, 3\]; the model was built for \[4, 16, 16, 3\]"),
        (IMAGES[0], "the array is"),
        (np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2)), "the array is"),
    ],
)
def test_arrays_that_the_model_does_not_take(array: Any, told: str, runner: Runner) -> None:
    with misuse(told):
        runner.inputs[0].from_numpy(array)


@pytest.mark.parametrize(("batch", "good"), [(1, True), (16, True), (17, False), (0, False)])
def test_batches_of_a_dynamic_model(
    batch: int, good: bool, mm: Any, small: Plan, tmp_path: Path
) -> None:
    build(mm, dataclasses.replace(small, dynamic=True), tmp_path / "model")
    runner = Runner(mm, tmp_path / "model")
    images = random_images(batch)
    if good:
        assert len(runner.run(images)) == batch
        return
    with misuse(r"built for \['1 to 16', 16, 16, 3\]"):
        runner.fill(images)


def test_before_the_queue_was_waited_for(runner: Runner) -> None:
    runner.fill(IMAGES)
    outputs: list[Any] = []
    runner.enqueue(outputs)
    with misuse("its queue was not waited for"):
        outputs[0].asnumpy()
    with misuse("its queue was not waited for"):
        runner.inputs[0].from_numpy(IMAGES)
    with misuse("its queue was not waited for"):
        runner.context.enqueue(runner.inputs, outputs, runner.queue)
    runner.sync()
    assert outputs[0].asnumpy().shape == (4, 10)


def test_the_hosts_array_stays_as_it_was(runner: Runner) -> None:
    images = IMAGES.copy()
    assert runner.inputs[0].from_numpy(images).ok()
    images[0] = 0
    with misuse("changed after from_numpy"):
        runner.inputs[0].to(runner.device)
    assert runner.inputs[0].from_numpy(images).ok()
    runner.enqueue([])  # without to(): it is read when the task runs
    images[1] = 0
    with misuse("Queue.sync: the array was changed after from_numpy"):
        runner.queue.sync()


def test_without_to_the_runtime_copies_itself(runner: Runner) -> None:
    assert runner.inputs[0].from_numpy(IMAGES).ok()
    outputs: list[Any] = []
    runner.enqueue(outputs)
    runner.sync()
    assert (outputs[0].asnumpy() == runner.run(IMAGES)).all()


def test_tensors_used_wrongly(mm: Any, runner: Runner) -> None:
    from magicmind.simulation.ledger import SimulatedSdkLimit

    with pytest.raises(SimulatedSdkLimit):
        mm.Tensor(shape=mm.Dims([4]), dtype=mm.DataType.UINT8)
    with misuse("nothing was put into it"):
        runner.inputs[0].to(runner.device)
    with misuse("the tensor is empty"):
        runner.inputs[0].asnumpy()
    with misuse("device is a int"):
        runner.inputs[0].to(0)
    with misuse("an input was not filled"):
        runner.context.enqueue(runner.inputs, [], runner.queue)
    outputs: list[Any] = []
    runner.fill(IMAGES)
    runner.enqueue(outputs)
    runner.sync()
    with misuse("it is an output"):
        outputs[0].from_numpy(IMAGES)
    assert runner.inputs[0].shape.GetDims() == [4, SIDE, SIDE, 3]
    assert outputs[0].shape.GetDims() == [4, 10]


# ---- enqueue


def test_what_enqueue_is_given(mm: Any, runner: Runner, small: Plan, tmp_path: Path) -> None:
    runner.fill(IMAGES)
    context, inputs, queue = runner.context, runner.inputs, runner.queue
    for arguments, told in (
        ((inputs[0], [], queue), "inputs is a Tensor"),
        ((inputs, None, queue), "outputs is None where a list belongs"),
        ((inputs, [], None), "queue is None where a Queue belongs"),
        (([IMAGES], [], queue), "an input is a ndarray"),
        (([], [], queue), r"the inputs are not \['data'\]"),
        ((inputs, inputs, queue), "an output is none of this context's"),
    ):
        with misuse(told):
            context.enqueue(*arguments)
    other = Runner(mm, tmp_path / "model")
    other.fill(IMAGES)
    with misuse("an input is another context's"):
        context.enqueue(other.inputs, [], queue)
    outputs: list[Any] = []
    other.enqueue(outputs)
    other.sync()
    with misuse("an output is none of this context's"):
        context.enqueue(inputs, outputs, queue)
    runner.enqueue([])
    with misuse("a task of the context is on another queue"):
        context.enqueue(runner.inputs, [], other.queue)
    runner.sync()


def test_outputs_of_another_shape(mm: Any, small: Plan, tmp_path: Path) -> None:
    build(mm, dataclasses.replace(small, dynamic=True), tmp_path / "model")
    runner = Runner(mm, tmp_path / "model")
    outputs: list[Any] = []
    runner.fill(random_images(4))
    runner.enqueue(outputs)
    runner.sync()
    runner.fill(random_images(3))
    with misuse("pass an empty list"):
        runner.context.enqueue(runner.inputs, outputs, runner.queue)


def test_a_queue_of_another_card(small: Plan, tmp_path: Path) -> None:
    with simulated(tmp_path / "simulation", cards=2) as mm:
        build(mm, small, tmp_path / "model")
        other = activate(mm, 1)
        queue = other.create_queue()
        runner = Runner(mm, tmp_path / "model")
        runner.fill(IMAGES)
        with misuse("the queue is another card's"):
            runner.context.enqueue(runner.inputs, [], queue)
        with misuse("the device is another than the context's"):
            runner.inputs[0].to(other)


# ---- tools


def test_dumps_that_there_are_not(mm: Any, runner: Runner) -> None:
    from magicmind.simulation.ledger import SimulatedSdkLimit

    info = mm.Context.ContextDumpInfo(path="x", dump_mode=7)
    with misuse("there is no dump_mode 7"):
        runner.context.set_context_dump_info(info)
    info.val.dump_mode = 0
    with pytest.raises(SimulatedSdkLimit, match="all tensors or outputs only"):
        runner.context.set_context_dump_info(info)
    info.val.dump_mode = 1
    with pytest.raises(SimulatedSdkLimit, match="kBinary"):
        runner.context.set_context_dump_info(info)
    info.val.dump_mode = -1
    assert runner.context.set_context_dump_info(info).ok()
    with misuse("there is no such field"):
        info.val.mode = 1


@pytest.mark.parametrize("precision", ["force_float32", "force_float16"])
def test_a_dump_of_all_tensors_has_what_the_network_names(
    mm: Any, small: Plan, tmp_path: Path, precision: str
) -> None:
    import onnxruntime

    build(mm, dataclasses.replace(small, precision=precision), tmp_path / "model")
    runner = Runner(mm, tmp_path / "model")
    (tmp_path / "dump").mkdir()
    info = mm.Context.ContextDumpInfo(
        path=str(tmp_path / "dump"),
        tensor_name=[],
        dump_mode=1,
        file_format=mm.FileFormat.kBinary,
    )
    assert runner.context.set_context_dump_info(info).ok()
    scores = runner.run(IMAGES)
    files = {path.name: path.read_bytes() for path in (tmp_path / "dump").iterdir()}
    layers = ("conv1", "relu1", "conv2", "pool", "flat", "fc", "prob")
    assert set(files) == {f"{name}.simulated.bin" for name in layers}
    written = np.frombuffer(files["prob.simulated.bin"], np.float32)
    np.testing.assert_array_equal(written.reshape(scores.shape), scores)

    session = onnxruntime.InferenceSession(_with_all_outputs(small.files[0]))
    (inner,) = session.run(["conv2"], {"data": normalised(small, IMAGES)})
    written = np.frombuffer(files["conv2.simulated.bin"], np.float32).reshape(inner.shape)
    np.testing.assert_allclose(written, inner, atol=1e-5 if precision == "force_float32" else 0.02)


def _with_all_outputs(path: Path) -> bytes:
    model = onnx.load(path)
    model.graph.output.add().name = "conv2"
    return bytes(model.SerializeToString())


def test_the_profilers_order(mm: Any, tmp_path: Path) -> None:
    options = mm.ProfilerOptions(mm.HostTracerLevel.kCritical, mm.DeviceTracerLevel.kOn)
    profiler = mm.Profiler(options, str(tmp_path))
    with misuse("Profiler.step_begin: it is new"):
        profiler.step_begin(0)
    assert profiler.start()
    assert profiler.step_begin(0)
    with misuse("Profiler.stop: it is in a step"):
        profiler.stop()
    assert profiler.step_end()
    assert profiler.stop()
    with misuse("host is a DeviceTracerLevel"):
        mm.ProfilerOptions(mm.DeviceTracerLevel.kOn, mm.HostTracerLevel.kCritical)
