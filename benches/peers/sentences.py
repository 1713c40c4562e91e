"""A sentence encoder in PyTorch, dynamically quantized, for comparison with the example `sentences`.

    python benches/peers/sentences.py MODEL_DIRECTORY [THREADS]    (needs torch and transformers; prints milliseconds)

The sentences are those of the example, as one batch and the first of them alone; the median and the least of 40 passes each.
"""
import copy
import pathlib
import statistics
import sys
import time

import torch
from transformers import AutoModel, AutoTokenizer

torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
torch.set_grad_enabled(False)
torch.backends.quantized.engine = "x86"

EXAMPLE = pathlib.Path(__file__).parents[2] / "crates/qtensor/examples/sentences/sentences.txt"
lines = [line.strip() for line in EXAMPLE.read_text().splitlines() if line.strip()]

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModel.from_pretrained(sys.argv[1]).eval()
int8 = torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {torch.nn.Linear}, torch.qint8)


def milliseconds(net, batch, passes=40):
    for _ in range(5):
        net(**batch)
    times = []
    for _ in range(passes):
        start = time.perf_counter()
        net(**batch)
        times.append((time.perf_counter() - start) * 1e3)
    return f"{statistics.median(times):8.2f} {min(times):8.2f}"


for name, texts in [(f"{len(lines)} sentences", lines), ("one sentence", lines[:1])]:
    tokens = tokenizer(texts, padding=True, return_tensors="pt")
    for kind, net in [("float", model), ("int8", int8)]:
        print(f"{name:>14} {kind:>6} {milliseconds(net, tokens)}")
