"""One training epoch of DigitsNet in PyTorch, for comparison with the bench `train`.

    python benches/peers/epoch.py [THREADS]        (needs torch; prints seconds: median and least of 10 epochs)

The network, the data, the batches of 32, the optimizer, label smoothing and gradient clipping are those of
benches/benches/train.rs.
"""
import csv
import gzip
import pathlib
import sys
import time

import torch
from torch import nn

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
torch.manual_seed(0)


class Block(nn.Module):
    def __init__(self, channels, inner):
        super().__init__()
        self.expand, self.bn1 = nn.Conv2d(channels, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.depthwise = nn.Conv2d(inner, inner, 3, padding=1, groups=inner, bias=False)
        self.bn2, self.bn3 = nn.BatchNorm2d(inner), nn.BatchNorm2d(channels)
        self.project = nn.Conv2d(inner, channels, 1, bias=False)

    def forward(self, x):
        y = torch.relu(self.bn1(self.expand(x)))
        y = torch.relu(self.bn2(self.depthwise(y)))
        return x + self.bn3(self.project(y))


class DigitsNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 24, 3, padding=1, bias=False), nn.BatchNorm2d(24)
        self.block = Block(24, 96)
        self.conv, self.bn_conv = nn.Conv2d(24, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        x = torch.relu(self.bn(self.stem(x)))
        x = torch.max_pool2d(self.block(x), 2)
        x = torch.relu(self.bn_conv(self.conv(x)))
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))


data = pathlib.Path(__file__).parents[2] / "crates/qtensor/data/digits.csv.gz"
rows = [list(map(int, row)) for row in csv.reader(gzip.open(data, "rt"))][:1437]
images = torch.tensor([row[:64] for row in rows]).float().view(-1, 1, 8, 8) / 16
labels = torch.tensor([row[64] for row in rows])
order = torch.randperm(len(rows)).split(32)
batches = [(images[i], labels[i]) for i in order]

net = DigitsNet()
optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.9, nesterov=True, weight_decay=5e-4)
criterion = nn.CrossEntropyLoss(label_smoothing=0.05)


def epoch():
    for x, y in batches:
        optimizer.zero_grad()
        criterion(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimizer.step()


epoch()
times = []
for _ in range(10):
    start = time.perf_counter()
    epoch()
    times.append(time.perf_counter() - start)
times.sort()
print(f"median {times[5]:.3f} s, least {times[0]:.3f} s, {torch.get_num_threads()} threads, torch {torch.__version__}")
