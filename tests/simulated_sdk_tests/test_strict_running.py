"""What the real SDK may take silently while a model runs is refused."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.simulated_sdk_tests.lifecycle import Plan, Runner, activate, build, normalised
from tests.support.networks import SIDE, random_images
from tests.support.simulated_sdk import misuse, simulated

IMAGES = random_images(4)


@pytest.fixture
def runner(mm: Any, small: Plan, tmp_path: Path) -> Runner:
    build(mm, small, tmp_path / "model")
    return Runner(mm, tmp_path / "model")


# ---- cards


def test_the_system_comes_first(mm: Any) -> None:
    device = mm.Device()
    device.id = 0
    with misuse("no System was initialised"):
        device.active()
    with misuse("the System is new"):
        mm.System().device_count()
    system = mm.System()
    assert system.initialize().ok()
    assert system.device_count() == 1
    system.destory()
    with misuse("the System is closed"):
        system.device_count()


def test_fields_that_there_are_not(mm: Any) -> None:
    device = mm.Device()
    with misuse("Device.dev_id: there is no such field; it has id"):
        device.dev_id = 1
    with misuse("id is a str"):
        device.id = "0"
    with mm.System(), misuse("id is not set"):
        device.active()
    device = activate(mm)
    with misuse("it was activated already"):
        device.id = 1
    with misuse("EngineConfig.device: there is no such field"):
        mm.Model.EngineConfig().device = "MLU"


def test_a_card_that_is_not_there_is_a_bad_status(mm: Any) -> None:
    device = mm.Device()
    device.id = 1
    with mm.System():
        assert not device.active().ok()


def test_without_an_active_card(mm: Any, small: Plan, tmp_path: Path) -> None:
    model = build(mm, small, tmp_path / "model")
    with misuse("no Device was activated by this thread"):
        model.create_i_engine()
    device = mm.Device()
    device.id = 0
    with misuse("has not activated the card"):
        device.create_queue()


def _in_a_thread(act: Callable[[], Any]) -> None:
    raised: list[BaseException] = []

    def call() -> None:
        try:
            act()
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def test_every_thread_activates_its_card(mm: Any, runner: Runner) -> None:
    runner.fill(IMAGES)
    with misuse("the calling thread has not activated"):
        _in_a_thread(lambda: runner.context.enqueue(runner.inputs, [], runner.queue))
    with misuse("the calling thread has not activated"):
        _in_a_thread(runner.queue.sync)
    runner.sync()


def test_two_threads_in_one_object(
    mm: Any, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from magicmind.simulation import graphs

    begun, go_on = threading.Event(), threading.Event()
    real = graphs.run_images

    def slow(*args: Any) -> Any:
        begun.set()
        go_on.wait(60)
        return real(*args)

    monkeypatch.setattr(graphs, "run_images", slow)
    runner.fill(IMAGES)
    runner.enqueue([])
    inside = threading.Event()

    def wait_there() -> None:
        activate(mm)
        inside.set()
        runner.sync()

    thread = threading.Thread(target=wait_there)
    thread.start()
    assert inside.wait(60)
    while not runner.queue._busy.locked():  # until the thread is inside the call
        pass
    with misuse("another thread is inside a call of the same object"):
        runner.queue.sync()
    go_on.set()
    thread.join()


# ---- models


def test_files_that_are_no_models_are_bad_statuses(mm: Any, small: Plan, tmp_path: Path) -> None:
    build(mm, small, tmp_path / "model")
    data = (tmp_path / "model").read_bytes()
    cases = {
        "it is no model": b"garbage",
        "it is of version 'simulatex'": data.replace(b"simulated\n", b"simulatex\n", 1),
        "it is damaged": data[:-60] + b"?" * 60,
        "it is damaged ": data[: len(data) // 2],
        "it is no model ": b"",
    }
    for told, content in cases.items():
        (tmp_path / "wrong").write_bytes(content)
        status = mm.Model().deserialize_from_file(str(tmp_path / "wrong"))
        assert not status.ok()
        assert told.strip() in str(status)
    assert not mm.Model().deserialize_from_file(str(tmp_path / "absent")).ok()
    assert not mm.Model().deserialize_from_file(str(tmp_path)).ok()
    model = build(mm, small, tmp_path / "again")
    assert not model.serialize_to_file(str(tmp_path / "absent" / "model")).ok()


@pytest.mark.parametrize(
    ("archs", "clusters", "fits"),
    [
        ([{"mtp_372": [6, 8]}], 6, True),
        ([{"mtp_372": [2, 8]}], 6, True),
        ([{"mtp_372": [8]}], 6, False),
        ([{"mtp_372": [8]}], 8, True),
        (["mtp_372"], 6, True),
    ],
)
def test_models_for_other_numbers_of_clusters(
    archs: list[Any], clusters: int, fits: bool, small: Plan, tmp_path: Path
) -> None:
    with simulated(tmp_path / "simulation", clusters=clusters) as mm:
        model = build(mm, dataclasses.replace(small, more=[{"archs": archs}]), tmp_path / "model")
        activate(mm)
        assert (model.create_i_engine() is not None) == fits


def test_a_model_for_another_chip(mm: Any, small: Plan, tmp_path: Path) -> None:
    build(mm, small, tmp_path / "model")
    with simulated(tmp_path / "simulation", name="MLU590") as other:
        status = other.Model().deserialize_from_file(str(tmp_path / "model"))
        assert not status.ok()
        assert "for ['mtp_372'], the cards are mtp_592" in str(status)


def test_models_used_wrongly(mm: Any, small: Plan, tmp_path: Path) -> None:
    model = build(mm, small, tmp_path / "model")
    activate(mm)
    with misuse("the model is empty"):
        mm.Model().create_i_engine()
    with misuse("the model is empty"):
        mm.Model().get_input_num()
    with misuse("the model holds one already"):
        model.deserialize_from_file(str(tmp_path / "model"))
    with misuse("path is a PosixPath"):
        mm.Model().deserialize_from_file(tmp_path / "model")
    with misuse("the config's device_type is not 'MLU'"):
        model.create_i_engine(mm.Model.EngineConfig())
    with misuse("there is no input 1"):
        model.get_input_data_type(1)


def test_what_made_it_is_kept(mm: Any, runner: Runner, small: Plan, tmp_path: Path) -> None:
    runner.fill(IMAGES)
    del runner.engine
    with misuse("the Engine that it came from is gone"):
        runner.context.enqueue(runner.inputs, [], runner.queue)
    engine = build(mm, small, tmp_path / "other").create_i_engine()
    with misuse("the Model that it came from is gone"):
        engine.create_i_context()


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
