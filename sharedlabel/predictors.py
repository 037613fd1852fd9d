"""How each method of the paper (section 4, Appendix B) turns the n images of a tuple into one prediction."""
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sharedlabel import choices, live

REPEATED = 64  # tuples of an evaluation after which permutations begin again


def mean_of_logits(logits: Tensor, tuples: Tensor) -> Tensor:
    """Baseline and balanced method (section 4.1): argmax of the mean logit vector; [N, l], [T, n] -> [T], computed where the logits lie."""
    means = F.embedding_bag(tuples.to(logits.device), logits, mode="mean")  # never holds [T, n, l], which 200 classes make large and slow
    return means.argmax(1).to(tuples.device)


def reading_orders(order: str, confidence: Tensor, permutations: int, generator: torch.Generator) -> Tensor:
    """In which order an LSTM reads the images of a tuple (Appendix A.3): confidence [T, n] -> places [T, K, n], K sequences a tuple.

    `confidence`: the most confident image first, by the largest of its logits. `random`: as they come, tuples
    being drawn in random order. `permutations`: K = `permutations` random orders, whose outputs are averaged.
    ValueError on another order.
    """
    if order not in choices.READING_ORDERS:
        raise ValueError(f"order: {order!r} is unknown; allowed: {', '.join(choices.READING_ORDERS)}")
    count, n = confidence.shape
    if order == "confidence":
        return confidence.argsort(dim=1, descending=True, stable=True)[:, None]
    if order == "random":
        return torch.arange(n, device=confidence.device).expand(count, 1, n)
    return torch.rand(count, permutations, n, generator=generator).argsort(2).to(confidence.device)


class StoredEmbeddings(nn.Module):
    """A frozen CNN, by what was computed once: rows [N, d + 1] of embeddings and confidence -> the two apart."""

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        return rows[:, :-1], rows[:, -1]


class LogitEmbeddings(nn.Module):
    """A CNN that learns on, whose embeddings are its logits (FC and Conv): images [N, D] -> embeddings [N, l], confidence [N]."""

    def __init__(self, cnn: nn.Module):
        super().__init__()
        self.cnn = cnn

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.cnn(images)
        return logits, logits.detach().amax(1)


class UnifiedCNNLSTM(nn.Module):
    """The unified CNN-LSTM (section 4.4, Figure 10): tuples [T, n, ...] -> logits [T, l], a mean over the sequence's outputs.

    cnn: images -> (embeddings, confidence). head: an `LSTMHead` or its live part, which reads the embeddings' `columns`; None: all of them.
    """

    def __init__(self, cnn: nn.Module, head: nn.Module, columns: Tensor | None, order: str, permutations: int, generator: torch.Generator):
        super().__init__()
        self.cnn, self.head, self.order, self.permutations, self.generator = cnn, head, order, permutations, generator
        self.graphable = order != "permutations"  # these are drawn anew, on the CPU, in every step: see `training.GraphedStep`
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        embeddings, confidence = (each.unflatten(0, x.shape[:2]) for each in self.cnn(x.flatten(0, 1)))
        places = self.places(confidence)
        tuple_of = torch.arange(len(x), device=x.device)[:, None, None]
        read = (embeddings if self.columns is None else embeddings[..., self.columns])[tuple_of, places]  # [T, K, n, d]
        return self.head(read.flatten(0, 1)).unflatten(0, places.shape[:2]).mean(1)

    def places(self, confidence: Tensor) -> Tensor:
        """`reading_orders`. Evaluation meets the same permutations every time, or the best epoch would be the luckiest; they begin again
        after `REPEATED` tuples, so that it does not matter how many times as many are evaluated at once."""
        if self.training or self.order != "permutations":
            return reading_orders(self.order, confidence, self.permutations, self.generator)
        seed = self.generator.initial_seed()
        parts = confidence.split(REPEATED)
        return torch.cat([reading_orders(self.order, part, self.permutations, torch.Generator().manual_seed(seed)) for part in parts])


class IndependentHead(nn.Module):
    """The control: the same head reads every image as a sequence of one, and the outputs are averaged; [T, n, ...] -> [T, l].

    Nothing passes between the images of a tuple; arguments as in `UnifiedCNNLSTM`.
    """

    def __init__(self, cnn: nn.Module, head: nn.Module, columns: Tensor | None):
        super().__init__()
        self.cnn, self.head = cnn, head
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        embeddings, _ = self.cnn(x.flatten(0, 1))
        read = embeddings.contiguous() if self.columns is None else embeddings[:, self.columns]
        return self.head(read[:, None]).unflatten(0, x.shape[:2]).mean(1)


def add_message_passing(network: live.LiveNetwork, n: int, share: float = 0.5) -> None:
    """Let information pass between the n copies of each neuron after every ReLU, in place: h_i <- (1 - share) h_i + share * mean_j h_j.

    Appendix B's second architecture, as the plainest of graph networks: the copies are fully connected, the message is their mean, and
    there is nothing to learn or to prune. The same weights and activations stay live, because a neuron hears of its own copies only.
    """
    network.mix_images(n, share)


def check_tuple_length(n: int, x: Tensor) -> None:
    """ValueError where tuples x [T, n', ...] are not of the n images that a graph network was built for."""
    if x.shape[1] != n:
        raise ValueError(f"n: tuples of {x.shape[1]} images; this graph network was built for {n}")


class MessagePassingNetwork(nn.Module):
    """Appendix B's second architecture: tuples [T, n, D] -> logits [T, l], the mean over n copies of a network (`add_message_passing`)."""

    def __init__(self, cnn: nn.Module, n: int):
        super().__init__()
        self.cnn, self.n = cnn, n

    def forward(self, x: Tensor) -> Tensor:
        check_tuple_length(self.n, x)
        return self.cnn(x.flatten(0, 1)).unflatten(0, x.shape[:2]).mean(1)


class JointClassifier(nn.Module):
    """Appendix B's first architecture: n embeddings side by side feed a second classifier; tuples [T, n, D] -> logits [T, l].

    classifier: the live part of a network over [n * d] features, which reads its `columns` of them.
    """

    def __init__(self, cnn: nn.Module, classifier: live.LiveNetwork, n: int):
        super().__init__()
        self.cnn, self.classifier, self.n = cnn, classifier, n

    def forward(self, x: Tensor) -> Tensor:
        check_tuple_length(self.n, x)
        embeddings = self.cnn(x.flatten(0, 1)).unflatten(0, x.shape[:2]).flatten(1)
        return self.classifier(embeddings[:, self.classifier.columns])
