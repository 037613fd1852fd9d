"""The names that parameters may take, and what each is called in tables and figures; imports nothing, so that a study is read quickly."""
from typing import NamedTuple


class DataSet(NamedTuple):
    """What has to be known of a data set before it is loaded."""

    title: str
    channels: int  # of an image
    classes: int
    largest_tuple: int  # test images of the smallest class


DATASETS = {
    "digits": DataSet("digits", 1, 10, 87),
    "mnist": DataSet("MNIST", 1, 10, 892),
    "cifar10": DataSet("CIFAR-10", 3, 10, 1000),
    "cifar100": DataSet("CIFAR-100", 3, 100, 100),
    "tinyimagenet": DataSet("Tiny ImageNet", 3, 200, 50),
}
MODELS = {"fc": "FC", "conv": "Conv", "resnet18": "ResNet-18", "wideresnet20": "WideResNet-20"}
PRUNERS = {"random": "random", "magnitude": "magnitude", "snip": "SNIP", "grasp": "GraSP", "synflow": "SynFlow"}
INITIALISATIONS = ("pytorch", "he")
AUGMENTATIONS = ("none", "crop_flip")
PRECISIONS = ("float32", "bfloat16")
PROTOCOLS = ("disjoint", "random")
CNN_METHODS = ("baseline", "balanced")  # what trains a CNN that a head reads
CNN_TRAININGS = ("frozen", "fine_tune", "end_to_end")
READING_ORDERS = ("confidence", "random", "permutations")
ARCHITECTURES = ("embedding", "neuron")  # of the graph method
HEAD_BIASES = ("pruned", "kept")
ON_COLLAPSE = ("raise", "record")
READOUTS = {"averaged": "averaged logits", "lda": "LDA", "linear": "linear layer", "mlp": "MLP"}
EMBEDDINGS = ("logits", "features")  # what a readout reads
PAPER_METHODS = ("baseline", "balanced", "freeze_retrain", "cnn_lstm", "head_control", "graph")  # what the notebooks on its sections read
