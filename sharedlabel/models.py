"""The paper's networks (Appendix C.1), with exactly its prunable parameter counts."""
import torch
from torch import nn

MODELS = ("fc", "conv")


def build(model: str, shape: tuple[int, int, int], classes: int, generator: torch.Generator) -> nn.Module:
    """A dense network for images of `shape` (C, H, W), with PyTorch's default initialisation.

    The weights are drawn from `generator`'s stream alone and on the CPU, so that they do not depend
    on what ran before or on the device.
    """
    if model not in MODELS:
        raise ValueError(f"model: {model!r} is unknown; allowed: {', '.join(MODELS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        return {"fc": fc, "conv": conv}[model](shape, classes)


def fc(shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """FC: five hidden layers of 100 units; 119,400 weights on MNIST.

    The paper prints a ReLU on the logits too; it is read as a slip.
    """
    layers, width = [nn.Flatten()], shape[0] * shape[1] * shape[2]
    for _ in range(5):
        layers += [nn.Linear(width, 100), nn.ReLU()]
        width = 100
    return nn.Sequential(*layers, nn.Linear(width, classes))


def conv(shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Conv: two 3x3 convolutions of 32 channels, no pooling, one linear layer; 260,384 weights on MNIST."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * height * width, classes),
    )
