"""The paper's networks (Appendix C.1), with exactly their prunable parameter counts; the same made narrow; and smaller ones."""
import contextlib
import inspect
import math

import torch
from torch import Tensor, nn

from sharedlabel import choices


def build(
    model: str, shape: tuple[int, int, int], classes: int, generator: torch.Generator, initialisation: str = "pytorch", width: int = 0
) -> nn.Module:
    """A dense network for images of `shape` (C, H, W), with PyTorch's default initialisation or He's (`he_normal`).

    `width`: hidden units, or channels of the first convolution, which all other layers widen with; 0 is the one
    of its function, for the paper's networks the paper's. The weights are drawn from `generator`'s stream alone and on the CPU,
    so that they do not depend on what ran before or on the device. ValueError on what cannot be built.
    """
    if model not in BUILDERS:
        raise ValueError(f"model: {model!r} is unknown; allowed: {', '.join(BUILDERS)}")
    reads = choices.ALL_MODELS[model].channels
    if reads not in (None, shape[0]):
        raise ValueError(f"model: {model} reads {reads} colour channels, not {shape[0]}; use one of {choices.networks_for(shape[0])}")
    if width and model not in WIDTHS:
        raise ValueError(f"width: {width} is for networks with hidden units; allowed with {model}: 0")
    if initialisation not in choices.INITIALISATIONS:
        raise ValueError(f"initialisation: {initialisation!r} is unknown; allowed: {', '.join(choices.INITIALISATIONS)}")
    with initialised_by(generator):
        network = BUILDERS[model](shape, classes, **({"width": width} if width else {}))
        if hasattr(network, "fc") != (choices.ALL_MODELS[model].embedding == "features"):
            raise ValueError(f"{model}: a network has a last layer `fc` if, and only if, it is registered with embedding=\"features\"")
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
    """Here PyTorch's own initialisation draws from `generator`'s stream alone; no GPU's stream is touched, as by `torch.manual_seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(generator.initial_seed())
        yield


def linear(shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """One linear layer: logistic regression, or linear discriminant analysis, by how it is fitted."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), classes))


def mlp(shape: tuple[int, int, int], classes: int, width: int = 100) -> nn.Sequential:
    """One hidden layer of `width` units."""
    return nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), width), nn.ReLU(), nn.Linear(width, classes))


@choices.Network("FC", layers=6)
def fc(shape: tuple[int, int, int], classes: int, width: int = 100) -> nn.Sequential:
    """FC: five hidden layers of 100 units; 119,400 weights on MNIST.

    The paper prints a ReLU on the logits too; it is read as a slip.
    """
    layers, inputs = [nn.Flatten()], math.prod(shape)
    for _ in range(5):
        layers += [nn.Linear(inputs, width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(width, classes))


@choices.Network("Conv", layers=3)
def conv(shape: tuple[int, int, int], classes: int, width: int = 32) -> nn.Sequential:
    """Conv: two 3x3 convolutions of 32 channels, no pooling, one linear layer; 260,384 weights on MNIST."""
    channels, rows, columns = shape
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(width * rows * columns, classes),
    )


@choices.Network("ResNet-18", channels=3, layers=21, batch_norm=True, embedding="features")
def resnet18(shape: tuple[int, int, int], classes: int, width: int = 64) -> nn.Module:
    """torchvision's ResNet-18 (7x7 stride-2 stem, max-pool; 3 channels), its four stages `width`, 2, 4 and 8 times `width` wide.

    torchvision has no argument for it, so its own layers are put in, initialised as it does.
    """
    from torchvision.models import resnet  # whose import takes as long as torch's

    network = resnet.resnet18(num_classes=classes)
    if width != 64:
        network.conv1, network.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        network.inplanes = width
        for i, stride in enumerate((1, 2, 2, 2)):
            setattr(network, f"layer{i + 1}", network._make_layer(resnet.BasicBlock, width * 2**i, 2, stride))
        network.fc = nn.Linear(8 * width, classes)
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


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


@choices.Network("WideResNet-20", layers=22, batch_norm=True, embedding="features")
class WideResNet20(nn.Module):
    """WideResNet-20: the CIFAR ResNet-20 at widths 32-64-128; 1,092,960 weights on CIFAR-100.

    That count leaves no other reading: 1x1 convolutions on the widening shortcuts, and a classifier over
    the 128 globally pooled features.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int = 32):
        super().__init__()
        self.conv1 = nn.Conv2d(shape[0], width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        widths = ((width, width, 1), (width, 2 * width, 2), (2 * width, 4 * width, 2))
        self.blocks = nn.Sequential(*(
            BasicBlock(width_in if i == 0 else width_out, width_out, stride if i == 0 else 1)
            for width_in, width_out, stride in widths for i in range(3)
        ))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.flatten = nn.Flatten()
        self.fc = nn.Linear(4 * width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.relu(self.bn1(self.conv1(x))))
        return self.fc(self.flatten(self.pool(x)))


BUILDERS = choices.functions(choices.MODELS) | {"linear": linear, "lda": linear, "mlp": mlp}
# Hidden units, or channels of the first convolution, of the networks that can be made narrow.
WIDTHS = {name: inspect.signature(build).parameters["width"].default for name, build in BUILDERS.items()
          if "width" in inspect.signature(build).parameters}


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
