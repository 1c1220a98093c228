"""PyTorch modules of the tests; imports torch."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Cnn(nn.Module):
    """An image classifier with a branch on an argument and one on a size."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
        self.drop = nn.Dropout(0.5)
        self.dense = nn.Linear(8 * 8 * 8, 4)

    def forward(self, image: Any, flip: bool = False) -> Any:
        y = torch.relu(self.norm(self.conv(image)))
        if flip:
            y = -y
        if image.shape[-1] > 10:
            y = y * 2
        y = self.depthwise(y)
        return torch.softmax(self.dense(self.drop(y).flatten(1)), -1)


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.dense = nn.Conv1d(4, 8, 3), nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        return self.dense(torch.relu(self.conv(x)).mean(2))


class Pair(nn.Module):
    def forward(self, pair: Any, scale: Any) -> Any:
        return {"sum": (pair[0] + pair[1]) * scale, "first": pair[0] * 2}


class Lstm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.dense = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, x: Any) -> Any:
        return self.dense(self.lstm(x)[0][:, -1])


class Branch(nn.Module):
    def forward(self, x: Any) -> Any:
        if x.sum() > 0:
            return x * 2
        return x
