"""Two pictures at the end of a method notebook: the learning curve, and a tuple of test images with what was predicted."""
import io
import math
from collections.abc import Callable

from IPython.display import Image, display
from matplotlib.figure import Figure
from torch import Tensor

from sharedlabel import tuples
from sharedlabel.data import Images
from sharedlabel.runtime import random_stream

IMAGES_A_ROW = 10


def show(epochs: dict, test_set: Images, predict: Callable[[Tensor], Tensor], seed: int, n: int = 5, copies: int = 1) -> None:
    """Display both pictures, the first where there are `epochs` (of `training.train`); the other arguments as in `tuple_of_images`."""
    curve = [learning_curve(epochs)] if epochs else []
    for figure, description in (*curve, tuple_of_images(test_set, predict, seed, n, copies)):
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=90)
        display(Image(png.getvalue(), alt=description))


def learning_curve(epochs: dict) -> tuple[Figure, str]:
    """The losses, and the n-accuracies of the test set, after every epoch; with a description."""
    curves, best = epochs["curves"], epochs["best"]
    x = range(1, len(curves["train_loss"]) + 1)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    losses, accuracies = figure.subplots(1, 2)
    for name, label, style in (("train_loss", "training", "C0-"), ("validation_loss", "held-out", "C1--")):
        losses.plot(x, curves[name], style, label=label)
    for name, style in zip((name for name in curves if name.startswith("n_accuracy")), ("C0-", "C1--", "C2-.", "C3:")):
        accuracies.plot(x, curves[name], style, label=f"n = {name.rpartition('_')[2]}")
    for axes, title in (losses, "loss"), (accuracies, "n-accuracy on the test set"):
        axes.axvline(best, color="0.6", linewidth=1)
        axes.set(xlabel=f"epoch (line: the one that is kept, {best})", title=title)
        if axes.lines[1:]:
            axes.legend()
    train, held_out = curves["train_loss"], curves["validation_loss"]
    return figure, (
        f"Learning curve over {len(x)} epochs: the training loss goes from {train[0]:.3f} to {train[-1]:.3f}, "
        f"the held-out loss from {held_out[0]:.3f} to its least, {held_out[best - 1]:.3f}, in epoch {best}."
    )


def tuple_of_images(test_set: Images, predict: Callable[[Tensor], Tensor], seed: int, n: int = 5, copies: int = 1) -> tuple[Figure, str]:
    """One tuple of `n` test images with each image's own prediction and the tuple's; with a description.

    predict: tuples [T, n] of indices into the test set -> labels [T]. An image's own prediction is that of a tuple of `copies` of it: one,
    or as many as a graph network is built for. Of one random tuple a class this is the one whose images disagree most. Where a class has
    fewer test images than `n`, so has the tuple.
    """
    n = min(n, int(test_set.labels.bincount().min()))
    candidates = tuples.random(test_set.labels, n, random_stream(seed, "picture"), per_class=1)
    own = predict(candidates.flatten()[:, None].expand(-1, copies)).view_as(candidates)
    chosen = max(range(len(own)), key=lambda row: len(own[row].unique()))
    label, together, own = int(test_set.labels[candidates[chosen, 0]]), int(predict(candidates[chosen : chosen + 1])), own[chosen].tolist()
    columns, rows = min(max(n, 5), IMAGES_A_ROW), math.ceil(n / IMAGES_A_ROW)
    figure = Figure(figsize=(9, rows * (9 / columns + 0.3) + 0.4), layout="constrained")
    figure.suptitle(f"{n} images of class {label}; predicted for the tuple: {together} ({mark(together == label)})")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    for axes in panels:
        axes.axis("off")
    for axes, index, prediction in zip(panels, candidates[chosen], own):
        axes.imshow(test_set.pixels[index].permute(1, 2, 0).cpu().numpy(), cmap="gray")
        axes.set_title(f"{prediction} ({mark(prediction == label)})", fontsize="small")
    return figure, f"{n} test images of class {label}. Predicted for each by itself: {', '.join(map(str, own))}; for the tuple: {together}."


def mark(correct: bool) -> str:
    return "right" if correct else "wrong"
