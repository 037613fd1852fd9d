"""A record's network, built anew from its checkpoint and those it starts from: no data set is read, nothing is trained.

Every network is two stages. `image`: normalised images [N, C * H * W] -> what a tuple needs of each, [N, d]. `together`: n such rows
[T, n, d] -> outputs [T, l]. For an averaging method the first gives outputs and the second is their mean.
"""
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from sharedlabel import choices, data, embeddings, heads, live, models, predictors, pruning, readouts
from sharedlabel.data.facts import Facts
from sharedlabel.live import lstm
from sharedlabel.runs import checkpoints, parameters
from sharedlabel.runs.errors import ParameterError
from sharedlabel.runs.files import read_record
from sharedlabel.runtime import random_stream


class Stages(NamedTuple):
    """The two stages, and `n`, the one size of tuple that the network was built for (None: any)."""

    image: nn.Module
    together: nn.Module
    n: int | None = None


class Columns(nn.Module):
    """Rows [N, D] -> those of their columns that are read."""

    def __init__(self, columns: Tensor):
        super().__init__()
        self.register_buffer("columns", columns)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.columns]


class Embedder(nn.Module):
    """What a frozen CNN gives a head: images [N, C * H * W] -> rows [N, d + 1] of embedding and confidence (`embeddings.compute`).

    The confidence is the largest logit: of the embedding itself, by `classifier`, or where `whole` is given by this other network.
    """

    def __init__(self, embed: nn.Module, classifier: nn.Linear | None, whole: nn.Module | None, std: Tensor | None, mean: Tensor | None):
        super().__init__()
        self.embed, self.classifier, self.whole = embed, classifier, whole
        self.register_buffer("std", std)
        self.register_buffer("mean", mean)

    def forward(self, x: Tensor) -> Tensor:
        found = self.embed(x)
        if self.whole is not None:
            logits = self.whole(x)
        else:
            logits = found if self.classifier is None else embeddings.classify(found, self.classifier)
        if self.std is not None:
            found = (found - self.mean) / self.std
        return torch.cat([found, logits.amax(1, keepdim=True)], 1)


def complete_parameters(file: Path) -> dict:
    """All parameters of a record by the names that they have now, `method` and `results` among them."""
    recorded = parameters.of_record(read_record(file)["params"])
    return parameters.defaults(recorded["method"]) | recorded | {"results": str(file.resolve().parent.parent.parent)}


def cnn_record(file: Path, params: dict) -> Path | None:
    """The record of the CNN that a head's or a readout's run starts from, None where its own checkpoint has all of it.

    It lies beside it and is the run that `parameters.prerequisite` names, or, where that is not there, one measured at other n, which
    training does not see. FileNotFoundError where there is none, ParameterError where more than one fits, ValueError where none
    does and one is damaged.
    """
    method = params.get("cnn_method")
    if method is None or params.get("cnn_training", "frozen") != "frozen":
        return None
    run = parameters.prerequisite(params)
    decisive = run.keys() - parameters.RUNTIME_PARAMETERS - {"n"}
    found, damaged = {}, []
    for other in sorted(file.parent.glob(f"*-{method}-*.json")):
        try:
            found[other] = complete_parameters(other)
        except ValueError as error:
            damaged.append(error)
    fitting = [other for other, own in found.items() if all(own.get(name) == run[name] for name in decisive)]
    fitting = [other for other in fitting if found[other]["n"] == run["n"]] or fitting
    if not fitting:
        if damaged:
            raise damaged[0]
        raise FileNotFoundError(f"{file.name} starts from a CNN that {method} trained, and beside it lies no record of it")
    if len(fitting) > 1:
        several = ", ".join(other.stem for other in fitting)
        raise ParameterError(f"record: {file.stem} starts from one CNN, and several lie beside it: {several}; move all but its own away")
    return fitting[0]


def build(file: Path, cnn: Path | None, params: dict, facts: Facts) -> Stages:
    """The network of the record in `file`, in evaluation mode.

    cnn: its `cnn_record`. params: its `complete_parameters`. FileNotFoundError where its checkpoint or its CNN's is missing; ValueError
    where one is damaged or another network's, or where nobody has said here how a network of its method is built.
    """
    if params["method"] not in BUILDERS:
        allowed = ", ".join(BUILDERS)
        raise ValueError(f"{file}: networks of method {params['method']} have no BUILDERS in inference/networks.py; allowed: {allowed}")
    tensors = {} if params.get("readout") in choices.STATELESS_READOUTS else checkpoints.load(file)
    if cnn is not None:
        tensors |= {f"cnn.{name}": tensor for name, tensor in checkpoints.load(cnn).items()}
    stages = BUILDERS[params["method"]](params, facts, tensors)
    for stage in stages[:2]:
        stage.eval().requires_grad_(False)
    return stages


def restore_cnn(params: dict, facts: Facts, tensors: dict[str, Tensor], embedder: bool = False) -> tuple[nn.Module, live.LiveNetwork]:
    """The masked network and its live part of a sparse checkpoint; with `embedder` without its classifier, which the checkpoint lacks."""
    width = {"width": params["width"]} if "width" in params else {}
    network = models.build(params["model"], facts.shape, len(facts.classes), torch.Generator(), **width)  # whose weights are replaced
    network = models.embedder(network) if embedder else network
    return network, checkpoints.restore_network(network, facts.shape, tensors)


def part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of one part of a checkpoint, their names without its prefix."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def on_images(cnn: live.LiveNetwork) -> nn.Sequential:
    """A live network of whole images, of which it reads its columns."""
    return nn.Sequential(Columns(cnn.columns), cnn, nn.Flatten())


def averaging(params: dict, facts: Facts, tensors: dict[str, Tensor]) -> Stages:
    """Baseline, balanced, freeze-and-retrain: logits of each image, and their mean."""
    return Stages(on_images(restore_cnn(params, facts, tensors)[1]), heads.Mean())


def pooling(params: dict, facts: Facts, tensors: dict[str, Tensor]) -> Stages:
    """A network that reads the means of squares of `pool` x `pool` pixels, and the mean of its logits."""
    channels, height, width = facts.shape
    pool = [nn.Unflatten(1, facts.shape), nn.AvgPool2d(params["pool"]), nn.Flatten()]
    image, together, _ = averaging(params, replace(facts, shape=(channels, height // params["pool"], width // params["pool"])), tensors)
    return Stages(nn.Sequential(*pool, *image), together)


def readout(params: dict, facts: Facts, tensors: dict[str, Tensor]) -> Stages:
    """A readout of each image's embedding, and the mean of its outputs."""
    cnn, state = restore_cnn(params, facts, part(tensors, "cnn."))[1], part(tensors, "readout.")
    columns = state.pop("columns", torch.arange(len(facts.classes))).long()
    reader = readouts.build(params["readout"], len(columns), len(facts.classes), params["hidden_units"])
    reader.load_state_dict(state)
    cnn = live.freeze(cnn, 1)[0] if params["embedding"] == "features" else cnn
    return Stages(nn.Sequential(*on_images(cnn), Columns(columns), reader), heads.Mean())


def head(params: dict, facts: Facts, tensors: dict[str, Tensor]) -> Stages:
    """An LSTM head: in the CNN-LSTM it reads the tuple, in its control (`head_control`) each image alone."""
    if params.get("cnn_training", "frozen") == "frozen":
        image, features = frozen_embedder(params, facts, tensors)
        cnn = predictors.StoredEmbeddings()
    else:
        small = restore_cnn(params, facts, part(tensors, "cnn."))[1]
        image, features, cnn = Columns(small.columns), len(facts.classes), predictors.LogitEmbeddings(small)
    small_head = restore_head(tensors, features, len(facts.classes))
    if params["method"] == "head_control":
        return Stages(image, predictors.IndependentHead(cnn, small_head, small_head.columns))
    reading = random_stream(params["seed"], "permutations")
    together = predictors.UnifiedCNNLSTM(cnn, small_head, small_head.columns, params["order"], params["permutations"], reading)
    return Stages(image, together)


def set_head(params: dict, facts: Facts, tensors: dict[str, Tensor]) -> Stages:
    """A head that reads a tuple as a set; trained on single images, each image alone."""
    image, state = frozen_embedder(params, facts, tensors)[0], part(tensors, "readout.")
    columns, units = state.pop("columns").long(), len(state["phi.0.bias"])
    reader = heads.SET_HEADS[params["set_head"]](len(columns), len(facts.classes), units)
    reader.load_state_dict(state)
    reader = heads.set_head_alone(reader) if params["train_n"] == 1 else reader
    return Stages(nn.Sequential(image, Columns(columns), reader.phi), reader.pool)


def frozen_embedder(params: dict, facts: Facts, tensors: dict[str, Tensor]) -> tuple[nn.Module, int]:
    """The `Embedder` of the CNN in these tensors ("cnn."), and its embeddings' width; DataError as in `standardisation`."""
    network, whole = restore_cnn(params, facts, part(tensors, "cnn."))
    classifier, apart = getattr(network, "fc", None), embeddings.quarters_overlap(network, facts.shape)
    if classifier is not None:
        prune.remove(classifier, "weight")
    network = models.embedder(network)
    embed = live.build(network, facts.shape)
    std, mean = tensors.get("embedding.std"), tensors.get("embedding.mean")
    if std is None and params.get("standardised"):
        std, mean = standardisation(network, params)
    features = embed.eval()(torch.zeros(1, len(embed.columns))).flatten(1).shape[1]
    return Embedder(on_images(embed), classifier, on_images(whole) if apart else None, std, mean), features


def standardisation(network: nn.Module, params: dict) -> tuple[Tensor, Tensor]:
    """Deviation and mean of a network's embeddings of the training images, for a head whose checkpoint is so old that it lacks them: so
    the data set is read. DataError where it is not there.
    """
    train_set, _, _ = data.load_splits(params["dataset"], params["held_out"], params["seed"], [1])
    return embeddings.deviation_and_mean(embeddings.pruned_outputs(network, [train_set], torch.device("cpu"), params["precision"])[0])


@torch.no_grad()
def restore_head(tensors: dict[str, Tensor], features: int, classes: int) -> lstm.LiveHead:
    """The live part of the LSTM head with this sparse checkpoint (`checkpoints.live_tensors` with the prefix "head.")."""
    whole, masks = heads.LSTMHead(features, classes), {}
    for name, parameter in whole.named_parameters():
        index = tensors[f"head.{name}.index"].long()
        parameter.zero_().view(-1)[index] = tensors[f"head.{name}.values"]
        masks[name] = torch.zeros_like(parameter, dtype=torch.bool)
        masks[name].view(-1)[index] = True
    pruning.apply_masks(whole, masks)
    return lstm.build(whole)


def graph(params: dict, facts: Facts, tensors: dict[str, Tensor]) -> Stages:
    """n copies of a network, with a second classifier or with messages between their neurons; for tuples of `train_n` images only."""
    n, joined = params["train_n"], params["architecture"] == "embedding"
    cnn = restore_cnn(params, facts, part(tensors, "cnn."), joined)[1]
    if not joined:
        predictors.add_message_passing(cnn, n, params["message_weight"])
        return Stages(Columns(cnn.columns), predictors.MessagePassingNetwork(cnn, n), n)
    width = cnn.eval()(torch.zeros(1, len(cnn.columns))).shape[1]
    classifier = heads.second_classifier(n * width, len(facts.classes))
    small = checkpoints.restore_network(classifier, (n, 1, width), part(tensors, "head."))
    return Stages(Columns(cnn.columns), predictors.JointClassifier(cnn, small, n), n)


BUILDERS = {
    "baseline": averaging, "balanced": averaging, "freeze_retrain": averaging, "readout": readout, "cnn_lstm": head, "head_control": head,
    "set_head": set_head, "graph": graph, "small_dense": pooling, "sanity_check": averaging,
}
