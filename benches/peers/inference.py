"""Times int8 inference in other libraries, one line for each: the shapes of `cargo xtask bench`.

    python benches/peers/inference.py CASE [THREADS] [layers]

CASE is resnet18_bN, resnet50_bN, mobilenet_v2_bN or linear_MxKxN. Needs torch, torchvision, onnx, onnxruntime and
openvino. Networks have random weights and are quantized by ONNX Runtime (per channel, QDQ), which runs them as OpenVINO
does; layers are PyTorch's, static and dynamic, on every engine. Calls take two seconds, in turns of a tenth of a second as
in `cargo xtask bench`. Prints the median of the fastest turn and the least time in milliseconds, and for a network with
`layers` the least time of each of its layers in OpenVINO. For a ratio, run it in turns with the bench on an otherwise idle
machine.
"""
import pathlib
import statistics
import sys
import tempfile
import time

import torch
import torchvision

case, threads = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 1
by_layer = "layers" in sys.argv[3:]
torch.set_num_threads(threads)
torch.set_grad_enabled(False)


def turn(call):
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < 0.1 or len(times) < 3:
        before = time.perf_counter()
        call()
        times.append(time.perf_counter() - before)
    return statistics.median(times) * 1e3, min(times) * 1e3


def report(name, call):
    call()
    turns, start = [], time.perf_counter()
    while not turns or time.perf_counter() - start < 2:
        turns.append(turn(call))
    median, least = (min(column) for column in zip(*turns))
    print(f"{case} {name:24} {median:9.3f} ms, least {least:9.3f} ms", flush=True)


def network(name, batch):
    import onnxruntime as ort
    import openvino
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    image = torch.randn(batch, 3, 224, 224)
    pixels = image.numpy()

    class Once(q.CalibrationDataReader):
        def __init__(self):
            self.left = iter([{"x": pixels}])

        def get_next(self):
            return next(self.left, None)

    with tempfile.TemporaryDirectory() as folder:
        float_file, plain, int8 = (str(pathlib.Path(folder, part)) for part in ("f.onnx", "p.onnx", "q.onnx"))
        model = getattr(torchvision.models, name)(weights=None).eval()
        torch.onnx.export(model, image, float_file, input_names=["x"], opset_version=17, dynamo=False)
        quant_pre_process(float_file, plain)
        q.quantize_static(plain, int8, Once(), per_channel=True, activation_type=q.QuantType.QUInt8)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(int8, options, providers=["CPUExecutionProvider"])
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "PERF_COUNT": by_layer}
        request = openvino.Core().compile_model(int8, "CPU", settings).create_infer_request()
    report("onnxruntime int8", lambda: session.run(None, {"x": pixels}))
    report("openvino int8", lambda: request.infer({0: pixels}))
    if by_layer:
        layers(request, pixels)


def layers(request, pixels):
    least = {}
    for _ in range(20):
        request.infer({0: pixels})
        for layer in request.profiling_info:
            time_taken = layer.real_time.total_seconds() * 1e3
            if time_taken > 0:
                least[layer.node_name] = min(least.get(layer.node_name, time_taken), time_taken)
    for name, time_taken in least.items():
        print(f"{time_taken:9.3f} ms {name}")


def linear(m, k, n):
    from torch.ao import quantization as tq

    x = torch.randn(m, k)
    for engine in ("x86", "fbgemm", "onednn"):
        torch.backends.quantized.engine = engine
        dynamic = tq.quantize_dynamic(torch.nn.Sequential(torch.nn.Linear(k, n)), {torch.nn.Linear})
        report(f"torch dynamic {engine}", lambda: dynamic(x))
        static = torch.nn.Sequential(tq.QuantStub(), torch.nn.Linear(k, n)).eval()
        static.qconfig = tq.get_default_qconfig(engine)
        tq.prepare(static, inplace=True)
        static(x)
        tq.convert(static, inplace=True)
        integers = static[0](x)
        report(f"torch static {engine}", lambda: static[1](integers))


if case.startswith("linear_"):
    linear(*map(int, case.removeprefix("linear_").split("x")))
else:
    net, _, images = case.rpartition("_b")
    network(net, int(images))
