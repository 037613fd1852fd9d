"""The paper's networks (Appendix C.1), with exactly their prunable parameter counts."""
import contextlib

import torch
from torch import Tensor, nn

from sharedlabel import choices


def build(
    model: str, shape: tuple[int, int, int], classes: int, generator: torch.Generator, initialisation: str = "pytorch"
) -> nn.Module:
    """A dense network for images of `shape` (C, H, W), with PyTorch's default initialisation or He's (`he_normal`).

    The weights are drawn from `generator`'s stream alone and on the CPU, so that they do not depend
    on what ran before or on the device.
    """
    if model not in choices.MODELS:
        raise ValueError(f"model: {model!r} is unknown; allowed: {', '.join(choices.MODELS)}")
    if model == "resnet18" and shape[0] != 3:
        raise ValueError(f"model: resnet18 is torchvision's own and reads 3 colour channels, not {shape[0]}; use fc, conv or wideresnet20")
    if initialisation not in choices.INITIALISATIONS:
        raise ValueError(f"initialisation: {initialisation!r} is unknown; allowed: {', '.join(choices.INITIALISATIONS)}")
    with initialised_by(generator):
        if model == "resnet18":
            from torchvision.models import resnet18  # whose import takes as long as torch's

            network = resnet18(num_classes=classes)  # torchvision's own: 7x7 stride-2 stem, max-pool; for 3 channels
        else:
            network = {"fc": fc, "conv": conv, "wideresnet20": WideResNet20}[model](shape, classes)
        return he_normal(network) if initialisation == "he" else network


def he_normal(network: nn.Module) -> nn.Module:
    """Weights of convolutions and linear layers drawn anew, normal with variance 2 / fan-in, biases 0 (He et al. 2015), in place."""
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network


@contextlib.contextmanager
def initialised_by(generator: torch.Generator):
    """Here PyTorch's own initialisation draws from `generator`'s stream alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        yield


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


class BasicBlock(nn.Module):
    """relu(bn(conv(relu(bn(conv(x))))) + shortcut(x)), two 3x3 convolutions (He et al. 2015).

    The shortcut is the identity, or where the block widens a strided 1x1 convolution with BatchNorm.
    """

    def __init__(self, width_in: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(width_in, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.shortcut = nn.Identity()
        if stride > 1 or width_in != width:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class WideResNet20(nn.Module):
    """WideResNet-20: the CIFAR ResNet-20 at widths 32-64-128; 1,092,960 weights on CIFAR-100.

    That count leaves no other reading: 1x1 convolutions on the widening shortcuts, and a classifier over
    the 128 globally pooled features.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU()
        widths = ((32, 32, 1), (32, 64, 2), (64, 128, 2))
        self.blocks = nn.Sequential(*(
            BasicBlock(width_in if i == 0 else width, width, stride if i == 0 else 1)
            for width_in, width, stride in widths for i in range(3)
        ))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.relu(self.bn1(self.conv1(x))))
        return self.fc(self.flatten(self.pool(x)))


def embedder(network: nn.Module) -> nn.Module:
    """`network`, changed in place to give what a head reads instead of logits: embeddings [B, d].

    Table 2's totals leave no other reading: of FC and Conv the logits (d = l), of ResNet-18 the 512 pooled
    features, of WideResNet-20 the last map pooled to 2x2 (128 * 2 * 2 = 512). Their classifier is cut off.
    """
    if hasattr(network, "fc"):
        network.fc = nn.Identity()
    if isinstance(network, WideResNet20):
        network.pool = nn.AdaptiveAvgPool2d(2)
    return network
