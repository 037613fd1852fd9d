"""One training loop for every method: Adam, a constant learning rate, stopping on a held-out loss."""
import contextlib
import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from sharedlabel import tuples
from sharedlabel.data import Images, stream

PRECISIONS = ("float32", "bfloat16")
EVALUATED_AT_ONCE = {"cpu": 64, "cuda": 2048}  # images or tuples; on a CPU, activations that stay in its cache


def watched(n: list[int]) -> list[int]:
    """The tuple sizes whose n-accuracy is in the learning curve: of those measured, a few."""
    return [size for size in n if size in (1, 5, 25, 80)]


def shuffled(images: Images, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch: batches (images, labels) in random order, the last one smaller where they do not divide."""
    order = torch.randperm(len(images), generator=generator).to(images.labels.device)
    for index in order.split(batch_size):
        yield images.batch(index), images.labels[index]


def same_label(images: Images, tuple_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of the balanced method: batches (images, labels) of one tuple of every class."""
    for index in tuples.one_of_each_class(images.labels.cpu(), tuple_size, generator).flatten(1).to(images.labels.device):
        yield images.batch(index), images.labels[index]


def in_tuples(images: Images, n: int, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch over the images, cut into disjoint n-tuples of one label: batches (images [T, n, ...], labels [T]).

    `batch_size` counts images, as section 4.2's B = k n does: T = round(batch_size / n), at least one, so that an epoch has
    about as many steps for every n.
    """
    chosen = tuples.disjoint(images.labels.cpu(), n, generator)
    chosen = chosen[torch.randperm(len(chosen), generator=generator)].to(images.labels.device)
    for index in chosen.split(max(1, round(batch_size / n))):
        yield images.batch(index), images.labels[index[:, 0]]


def watcher(
    predictor: Callable[[], Callable[[Tensor], Tensor]], labels: Tensor, sizes: list[int], seed: int, per_class: int = 100
) -> Callable[[], dict[str, float]]:
    """For the learning curve: n-accuracy at a few `sizes` of what `predictor()` now makes of tuples [T, n] of test images.

    The tuples are random ones, the same in every epoch (and not those that the record's measures use).
    """
    drawn = {size: tuples.random(labels, size, stream(seed, f"watched {size}"), per_class) for size in sizes}

    def watch() -> dict[str, float]:
        predict = predictor()
        hits = {size: predict(chosen) == labels[chosen[:, 0]] for size, chosen in drawn.items()}
        return {f"n_accuracy_{size}": float(hit.double().mean()) for size, hit in hits.items()}

    return watch


def precise(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """The context in which a forward pass has this precision; float32 is no context at all."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision: {precision!r} is unknown; allowed: {', '.join(PRECISIONS)}")
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()


def out_of_memory(error: RuntimeError) -> bool:
    """Whether a GPU's memory was too small, in any of the words that PyTorch and cuBLAS have for it."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error) or "ALLOC_FAILED" in str(error)


@contextlib.contextmanager
def fits(set_by: tuple[str, int] | None):
    """MemoryError, which says what to try, where a GPU's memory does not hold what is done in here; see `train`."""
    try:
        yield
    except RuntimeError as error:
        if not out_of_memory(error):
            raise
        smaller = f"try {set_by[0]} {set_by[1] // 2}, or" if set_by and set_by[1] > 1 else "have"
        raise MemoryError(f"the GPU's memory does not hold a training batch; {smaller} fewer runs at once") from error


@torch.no_grad()
def outputs(network: nn.Module, images: Images, precision: str = "float32", chosen: Tensor | None = None) -> Tensor:
    """The network's outputs for all images, [N, l], or for the tuples `chosen` [T, n] of them, [T, l], in evaluation mode.

    Where a GPU's memory does not hold so many at once as usual, half as many are tried, down to one.
    """
    device = images.labels.device
    at_once = EVALUATED_AT_ONCE[device.type]
    index = (torch.arange(len(images)) if chosen is None else chosen).to(device)
    network.eval()
    while True:
        try:
            with precise(precision, device):
                parts = [network(images.batch(part)) for part in index.split(at_once)]
            break
        except RuntimeError as error:
            if at_once == 1 or not out_of_memory(error):
                raise
            at_once //= 2
    network.train()
    return torch.cat(parts).float()


def epochs_waited(losses: Iterable[float], min_improvement: float) -> int:
    """How many epochs ago the held-out `losses`, one an epoch, last improved by the fraction `min_improvement`."""
    reference, waited = float("inf"), 0
    for loss in losses:
        waited = 0 if loss < reference * (1 - min_improvement) else waited + 1
        reference = loss if waited == 0 else reference
    return waited


def train(
    network: nn.Module, epoch: Callable[[], Iterable[tuple[Tensor, Tensor]]], loss: Callable[[Tensor, Tensor], Tensor],
    validate: Callable[[], float], watch: Callable[[], dict[str, float]], *,
    learning_rate: float, max_epochs: int, patience: int, min_improvement: float, precision: str = "float32",
    set_by: tuple[str, int] | None = None,
) -> dict:
    """Train until `validate()` has not improved by the fraction `min_improvement` for `patience` epochs.

    Appendix C.2: Adam, constant learning rate, everything else PyTorch's default; section D: "until no
    further improvement is gained". The weights of the epoch with the least validation loss are kept.
    `epoch` yields the batches of one epoch; `watch` gives what else belongs into the learning curve.
    Returns the record's `epochs`: the curves by name, one entry an epoch, `best` (counted from 1) and
    why training `stopped`. Raises FloatingPointError at the first epoch whose loss is not finite, MemoryError where a
    GPU's memory does not hold a batch, which says to halve what the batch's size is `set_by`: a parameter and its value.
    """
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=learning_rate, fused=True)
    device = next(network.parameters()).device
    curves, lowest, stopped = {}, float("inf"), "limit"
    best, kept = 0, {name: t.clone() for name, t in network.state_dict().items()}
    for number in range(1, max_epochs + 1):
        total, count = torch.zeros((), device=device), 0
        with fits(set_by):
            for x, y in epoch():
                with precise(precision, device):
                    out = network(x)
                step_loss = loss(out.float() if precision != "float32" else out, y)
                optimizer.zero_grad()
                step_loss.backward()
                optimizer.step()
                total += step_loss.detach() * len(y)
                count += len(y)
        held_out = validate()
        train_loss = float(total) / count
        if not (math.isfinite(train_loss) and math.isfinite(held_out)):
            raise FloatingPointError(
                f"epoch {number}: the training loss is {train_loss}, the held-out loss {held_out}; "
                f"lower learning_rate, which is {learning_rate}"
            )
        for name, value in {"train_loss": train_loss, "validation_loss": held_out, **watch()}.items():
            curves.setdefault(name, []).append(value)
        if held_out < lowest:
            lowest, best = held_out, number
            kept = {name: t.clone() for name, t in network.state_dict().items()}
        if epochs_waited(curves["validation_loss"], min_improvement) >= patience:
            stopped = "no improvement"
            break
    network.load_state_dict(kept)
    return {"best": best, "stopped": stopped, "curves": curves}


def told(epochs: dict) -> str:
    """A record's `epochs` in a few lines, to print: why training stopped, and about eight points of every curve."""
    curves = epochs["curves"]
    lines = [f"stopped after {len(curves['train_loss'])} epochs ({epochs['stopped']}), the best was {epochs['best']}"]
    lines += [f"{name:>16}: " + " ".join(f"{value:.3f}" for value in curve[:: max(1, len(curve) // 8)]) for name, curve in curves.items()]
    return "\n".join(lines)
