"""Ordinary supervised training as anybody writes it; it knows nothing of this project.

python plain_training.py ARRAYS.npz OUT.pt STEPS
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (1, 32, 32, 32):
            layers += [
                nn.Conv2d(inputs, 32, 3, padding=1, bias=False),
                nn.BatchNorm2d(32),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.fc = nn.Linear(32, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc(self.trunk(x))
        return out


def main(arrays: str, out: str, steps: int) -> None:
    torch.manual_seed(0)
    with np.load(arrays) as file:
        images = torch.from_numpy(file["images"]).float() / 255
        labels = torch.from_numpy(file["labels"]).long()
    net = Net(int(labels.max()) + 1)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(steps):
        rows = torch.randint(len(images), (128,))
        loss = nn.functional.cross_entropy(net(images[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    if not steps:
        net(images[:512])  # running statistics, as any network has that was ever run
    torch.save({"epoch": steps, "state_dict": net.state_dict()}, out)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
