"""What reads the embeddings of a tuple: the LSTM head, its linearised copy for scoring, and the graph method's classifier."""
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


def second_classifier(features: int, classes: int) -> nn.Sequential:
    """The graph method's classifier over the joined embeddings (Appendix B, 1): [B, features] of any shape -> [B, l].

    The paper says no more than "another classifier"; it is given one hidden layer of the FC network's width.
    """
    return nn.Sequential(nn.Flatten(), nn.Linear(features, 100), nn.ReLU(), nn.Linear(100, classes))
