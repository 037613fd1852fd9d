"""What reads the embeddings of a tuple: the LSTM head, its linearised copy for scoring, heads for sets, the graph method's classifier."""
import bisect
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn


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


class LinearisedLSTMHead(LSTMHead):
    """The head with its gates added up where the LSTM multiplies them: h_t = sum over gates of (W x_t + U h_{t-1} + b).

    For scoring alone. SynFlow wants a positively homogeneous network; with absolute weights an LSTM's gates
    saturate, its gradients vanish, and whole layers collapse or tie. This copy has the same parameters by
    the same names, and a flow through every one of them; but where the sequence is one image, nothing goes round, and there is
    nothing to forget (c = f 0 + i g), so that recurrent weights and forget gates, which can do nothing there, have none.
    """

    @classmethod
    def like(cls, head: LSTMHead) -> "LinearisedLSTMHead":
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


class Mean(nn.Module):
    """Rows [T, n, l] -> [T, l]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


class MeanPooling(nn.Module):
    """The mean over a tuple, read by rho: [T, n, h] -> [T, l]."""

    def __init__(self, rho: nn.Sequential):
        super().__init__()
        self.rho = rho

    def forward(self, x: Tensor) -> Tensor:
        return self.rho(x.mean(1))


class AttentionPooling(MeanPooling):
    """Likewise, but a sum weighted by the softmax over the tuple of the rows' last entry, their score: [T, n, h + 1] -> [T, l]."""

    def forward(self, x: Tensor) -> Tensor:
        return self.rho((x[..., -1:].softmax(1) * x[..., :-1]).sum(1))


class GatedScore(nn.Module):
    """Rows [..., h] with their score w' (tanh(V h) * sigmoid(U h)) behind them: [..., h + 1] (Ilse et al. 2018, equation 9)."""

    def __init__(self, units: int):
        super().__init__()
        self.value, self.gate = (nn.Linear(units, units, bias=False) for _ in range(2))
        self.score = nn.Linear(units, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.score(torch.tanh(self.value(x)) * torch.sigmoid(self.gate(x)))], -1)


def deep_sets(features: int, classes: int, units: int) -> nn.Sequential:
    """Zaheer et al. 2017: embeddings [T, n, d] of any n, in any order -> logits [T, l]; phi of each image, then the pooling."""
    rho = nn.Sequential(nn.Linear(units, units), nn.ReLU(), nn.Linear(units, classes))
    return nn.Sequential(OrderedDict(phi=nn.Sequential(nn.Linear(features, units), nn.ReLU()), pool=MeanPooling(rho)))


def attention(features: int, classes: int, units: int) -> nn.Sequential:
    """Gated attention pooling (Ilse et al. 2018), otherwise as `deep_sets`; rho is linear."""
    phi = nn.Sequential(nn.Linear(features, units), nn.ReLU(), GatedScore(units))
    return nn.Sequential(OrderedDict(phi=phi, pool=AttentionPooling(nn.Sequential(nn.Linear(units, classes)))))


def set_head_alone(head: nn.Sequential) -> nn.Sequential:
    """The control: a set head's layers read each image as a tuple of one, and the outputs are averaged. One image needs no score."""
    return nn.Sequential(OrderedDict(phi=nn.Sequential(*head.phi[:2], head.pool.rho), pool=Mean()))


SET_HEADS = {"deep_sets": deep_sets, "attention": attention}


def widest_set_head(kind: str, features: int, classes: int, most: int) -> int:
    """Hidden units of the widest set head with at most so many parameters, biases included; ValueError where one unit is too many."""
    def parameters(units: int) -> int:
        with torch.device("meta"):  # counted, not made
            return sum(p.numel() for p in SET_HEADS[kind](features, classes, units).parameters())

    units = bisect.bisect_right(range(1, most + 1), most, key=parameters)
    if not units:
        raise ValueError(f"head_rho: {most} parameters are left; {kind} of {features} features with one hidden unit has {parameters(1)}")
    return units


def second_classifier(features: int, classes: int) -> nn.Sequential:
    """The graph method's classifier over the joined embeddings (Appendix B, 1): [B, features] of any shape -> [B, l].

    The paper says no more than "another classifier"; it is given one hidden layer of the FC network's width.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(features, 100), nn.ReLU(), nn.Linear(100, classes))
