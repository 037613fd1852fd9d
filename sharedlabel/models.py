"""The paper's networks (Appendix C.1) and its LSTM head, with exactly their prunable parameter counts."""
import contextlib

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

MODELS = ("fc", "conv", "resnet18", "wideresnet20")
INITIALISATIONS = ("pytorch", "he")


def build(
    model: str, shape: tuple[int, int, int], classes: int, generator: torch.Generator, initialisation: str = "pytorch"
) -> nn.Module:
    """A dense network for images of `shape` (C, H, W), with PyTorch's default initialisation or He's (`he_normal`).

    The weights are drawn from `generator`'s stream alone and on the CPU, so that they do not depend
    on what ran before or on the device.
    """
    if model not in MODELS:
        raise ValueError(f"model: {model!r} is unknown; allowed: {', '.join(MODELS)}")
    if model == "resnet18" and shape[0] != 3:
        raise ValueError(f"model: resnet18 is torchvision's own and reads 3 colour channels, not {shape[0]}; use fc, conv or wideresnet20")
    if initialisation not in INITIALISATIONS:
        raise ValueError(f"initialisation: {initialisation!r} is unknown; allowed: {', '.join(INITIALISATIONS)}")
    with initialised_by(generator):
        if model == "resnet18":
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


def second_classifier(features: int, classes: int) -> nn.Sequential:
    """The graph method's classifier over the joined embeddings (Appendix B, 1): [B, features] of any shape -> [B, l].

    The paper says no more than "another classifier"; it is given one hidden layer of the FC network's width.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(features, 100), nn.ReLU(), nn.Linear(100, classes))


class LSTMHead(nn.Module):
    """The head of the unified CNN-LSTM (section 4.4, Appendix A): embeddings [B, n, d] -> logits [B, l].

    Linear(d, l, no bias) - LSTM(l, 200) - Linear(200, l) after every image, and the mean of the n outputs. Every
    parameter counts, biases included: 171,710 on MNIST (d = 10 logits), as Table 2 has it.
    """

    def __init__(self, features: int, classes: int, units: int = 200):
        super().__init__()
        self.embed = nn.Linear(features, classes, bias=False)
        self.lstm = nn.LSTM(classes, units, batch_first=True)
        self.classify = nn.Linear(units, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.lstm(self.embed(x))[0]).mean(1)


class LinearisedHead(LSTMHead):
    """The head with its gates added up where the LSTM multiplies them: h_t = sum over gates of (W x_t + U h_{t-1} + b).

    For scoring alone. SynFlow wants a positively homogeneous network; with absolute weights an LSTM's gates
    saturate, its gradients vanish, and whole layers collapse or tie. This copy has the same parameters by
    the same names, and a flow through every one of them; but where the sequence is one image, nothing goes round, and there is
    nothing to forget (c = f 0 + i g), so that recurrent weights and forget gates, which can do nothing there, have none.
    """

    @classmethod
    def like(cls, head: LSTMHead) -> "LinearisedHead":
        return cls(head.embed.in_features, head.classify.out_features, head.lstm.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        lstm, hidden, total = self.lstm, None, 0.0
        for step in self.embed(x).unbind(1):
            gates = F.linear(step, lstm.weight_ih_l0, lstm.bias_ih_l0) + lstm.bias_hh_l0
            if hidden is not None:
                gates = gates + F.linear(hidden, lstm.weight_hh_l0)
            i, f, g, o = gates.unflatten(-1, (4, -1)).unbind(-2)
            hidden = torch.stack((i, g, o) if x.shape[1] == 1 else (i, f, g, o), -2).sum(-2)
            total = total + self.classify(hidden)
        return total / x.shape[1]
