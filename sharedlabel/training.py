"""One training loop for every method: Adam, a constant learning rate, stopping on a held-out loss."""
import contextlib
import math
import sys
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from tqdm import tqdm

from sharedlabel import choices, live, tuples
from sharedlabel.data import Images
from sharedlabel.runtime import in_grid, memory_guard, random_stream

AT_ONCE = 64  # images or tuples evaluated at once, or a multiple: on a CPU, activations that stay in its cache
ON_GPU = 2048  # images, those of tuples counted, or `AT_ONCE` tuples if these are more


def monitored_sizes(n: list[int]) -> list[int]:
    """The tuple sizes whose n-accuracy is in the learning curve: of those measured, a few."""
    return [size for size in n if size in (1, 5, 25, 80)]


def shuffled(images: Images, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch: batches (images, labels) in random order, the last one smaller where they do not divide.

    One image that is left over goes with the batch before, as BatchNorm needs two.
    """
    batches = list(torch.randperm(len(images), generator=generator).to(images.labels.device).split(batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1 < batch_size:
        batches[-2:] = [torch.cat(batches[-2:])]
    for index in batches:
        yield images.batch(index), images.labels[index]


def same_label(images: Images, tuple_size: int, tuples_per_batch: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch of the balanced method: batches (images, labels) of as many tuples, each of another class."""
    chosen = tuples.of_different_classes(images.labels.cpu(), tuple_size, tuples_per_batch, generator)
    for index in chosen.flatten(1).to(images.labels.device):
        yield images.batch(index), images.labels[index]


def in_tuples(images: Images, n: int, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch over the images, cut into disjoint n-tuples of one label: batches (images [T, n, ...], labels [T]).

    `batch_size` counts images, as section 4.2's B = k n does: T = round(batch_size / n), at least one, of random classes, so that an
    epoch has about as many steps for every n. With a `batch_size` of 0 a batch has one tuple of every class (section 2.1).
    """
    labels, device = images.labels.cpu(), images.labels.device
    if batch_size:
        chosen = tuples.disjoint(labels, n, generator)
        batches = chosen[torch.randperm(len(chosen), generator=generator)].to(device).split(max(1, round(batch_size / n)))
    else:
        batches = tuples.one_of_each_class(labels, n, generator).to(device)
    for index in batches:
        yield images.batch(index), images.labels[index[:, 0]]


def accuracy_monitor(
    predictor: Callable[[], Callable[[Tensor], Tensor]], labels: Tensor, sizes: list[int], seed: int, per_class: int = 100
) -> Callable[[], dict[str, float]]:
    """For the learning curve: n-accuracy at a few `sizes` of what `predictor()` now makes of tuples [T, n] of test images.

    The tuples are random ones, the same in every epoch (and not those that the record's measures use), `per_class` of every class and one
    at least. A size that the smallest class has too few images for, as `train_n` may be, is left out.
    """
    fitting, per_class = [size for size in sizes if size <= labels.bincount().min()], max(1, per_class)
    drawn = {size: tuples.random(labels, size, random_stream(seed, f"watched {size}"), per_class) for size in fitting}

    def watch() -> dict[str, float]:
        predict = predictor()
        hits = {size: predict(chosen) == labels[chosen[:, 0]] for size, chosen in drawn.items()}
        return {f"n_accuracy_{size}": float(hit.double().mean()) for size, hit in hits.items()}

    return watch if drawn else dict  # which evaluates nothing


def autocast(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """The context in which a forward pass has this precision; float32 is no context at all."""
    if precision not in choices.PRECISIONS:
        raise ValueError(f"precision: {precision!r} is unknown; allowed: {', '.join(choices.PRECISIONS)}")
    return torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()


def evaluated_at_once(device_type: str, n: int) -> int:
    """How many tuples of n images are evaluated at once: a multiple of `AT_ONCE`."""
    return AT_ONCE if device_type == "cpu" else AT_ONCE * max(1, ON_GPU // AT_ONCE // n)


@torch.no_grad()
def outputs(network: nn.Module, images: Images, precision: str = "float32", chosen: Tensor | None = None) -> Tensor:
    """The network's outputs for all images, [N, l], or for the tuples `chosen` [T, n] of them, [T, l], in evaluation mode.

    Where a GPU's memory does not hold so many at once as usual, about half as many are tried, down to one; below `AT_ONCE` other
    `permutations` are drawn (`predictors`). MemoryError where one does not fit.
    """
    device, trains = images.labels.device, network.training
    index = (torch.arange(len(images)) if chosen is None else chosen).to(device)
    at_once = evaluated_at_once(device.type, index.shape[1:].numel())
    network.eval()
    while True:
        try:
            with memory_guard("what a network makes of one image or tuple"), autocast(precision, device):
                parts = [network(images.batch(part)) for part in index.split(at_once)]
            break
        except MemoryError:
            if at_once == 1:
                raise
            at_once = at_once // 2 // AT_ONCE * AT_ONCE or at_once // 2
    network.train(trains)
    return torch.cat(parts).float()


def epochs_waited(losses: Iterable[float], min_improvement: float) -> int:
    """How many epochs ago the held-out `losses`, one an epoch, last improved by the fraction `min_improvement`."""
    reference, waited = float("inf"), 0
    for loss in losses:
        waited = 0 if loss < reference * (1 - min_improvement) else waited + 1
        reference = loss if waited == 0 else reference
    return waited


class GraphedStep:
    """`step`, which takes a batch's tensors, as a CUDA graph: a GPU is told of its hundreds of small kernels at once.

    The first batches are computed as they come, which readies what CUDA makes on first use; then, for batches of that shape, the step is
    recorded once and replayed from there on, the batch copied to where the recorded one lay. A batch of another shape, as an
    epoch's last may be, is computed as it comes. What it returns is overwritten by the next replay.
    """

    WARM_UP_STEPS = 3  # as PyTorch's notes on CUDA graphs have it

    def __init__(self, step: Callable[..., Tensor]):
        self.step, self.shapes, self.seen, self.graph = step, None, 0, None

    def __call__(self, *batch: Tensor) -> Tensor:
        shapes = [t.shape for t in batch]
        self.shapes = self.shapes or shapes
        if shapes != self.shapes:
            return self.step(*batch)
        if self.seen < self.WARM_UP_STEPS:
            self.seen += 1
            return self.run_eagerly(*batch)
        if self.graph is None:
            self.held, self.graph = [t.clone() for t in batch], torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):  # nothing is computed yet
                self.result = self.step(*self.held)
        for own, given in zip(self.held, batch):
            own.copy_(given)
        self.graph.replay()
        return self.result

    def run_eagerly(self, *batch: Tensor) -> Tensor:
        """The step as it comes, on a stream of its own: what it leaves behind must not tie the recording to the default one."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            result = self.step(*batch)
        torch.cuda.current_stream().wait_stream(stream)
        return result


class Adam:
    """torch.optim.Adam on a CPU by the same fused kernel, to the last bit, without what surrounds it.

    On few weights a step of the class takes five times as long as the kernel, and its first use imports PyTorch's compiler, a second.
    """

    def __init__(self, parameters: list[nn.Parameter], learning_rate: float):
        self.parameters, self.learning_rate = parameters, learning_rate
        self.state = {"step": [torch.zeros(()) for _ in parameters]}
        self.state |= {name: [torch.zeros_like(p, requires_grad=False) for p in parameters] for name in ("exp_avg", "exp_avg_sq")}

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        having = [i for i, p in enumerate(self.parameters) if p.grad is not None]
        means, squares, steps = ([self.state[name][i] for i in having] for name in ("exp_avg", "exp_avg_sq", "step"))
        for step in steps:
            step += 1
        parameters = [self.parameters[i] for i in having]
        gradients = [p.grad for p in parameters]
        torch._fused_adam_(parameters, gradients, means, squares, [], steps, lr=self.learning_rate, beta1=0.9, beta2=0.999, eps=1e-8,
                           weight_decay=0.0, amsgrad=False, maximize=False)

    def state_dict(self) -> dict[str, list[Tensor]]:
        return self.state

    def load_state_dict(self, state: dict[str, list[Tensor]]) -> None:
        for name, tensors in self.state.items():
            for own, given in zip(tensors, state[name], strict=True):
                own.copy_(given)


def adam(network: nn.Module, learning_rate: float) -> Adam | torch.optim.Adam:
    """The optimizer of Appendix C.2, of what is not frozen."""
    free = [p for p in network.parameters() if p.requires_grad]
    if next(network.parameters()).is_cuda:
        return torch.optim.Adam(free, lr=learning_rate, fused=True, capturable=True)
    return Adam(free, learning_rate)


def make_step(
    network: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], optimizer: Adam | torch.optim.Adam, precision: str = "float32"
) -> Callable[[Tensor, Tensor], Tensor]:
    """A step on the batch (x, y), which returns its loss; on a GPU `GraphedStep`, unless a module says that it is not `graphable`."""
    device = next(network.parameters()).device
    if isinstance(network, live.LiveModule) and network.is_compiled(device):
        return compiled_step(network, loss, optimizer)

    def step(x: Tensor, y: Tensor) -> Tensor:
        with autocast(precision, device):
            out = network(x)
        found = loss(out.float() if precision != "float32" else out, y)
        optimizer.zero_grad()
        found.backward()
        optimizer.step()
        return found.detach()

    graphable = device.type == "cuda" and all(getattr(module, "graphable", True) for module in network.modules())
    return GraphedStep(step) if graphable else step


def compiled_step(network: live.LiveModule, loss: Callable[[Tensor, Tensor], Tensor], optimizer: Adam) -> Callable:
    """The same step of a live network that a program computes. Only the loss has a graph, which on few weights takes longest of all."""
    def step(x: Tensor, y: Tensor) -> Tensor:
        out, kept = network.compute(x)
        found = loss(out.requires_grad_(), y)
        network.learning.grad, _ = network.gradients(kept, *torch.autograd.grad(found, out))
        optimizer.step()
        return found.detach()

    return step


def train(
    network: nn.Module, epoch: Callable[[], Iterable[tuple[Tensor, Tensor]]], loss: Callable[[Tensor, Tensor], Tensor],
    validate: Callable[[], float], watch: Callable[[], dict[str, float]], *,
    learning_rate: float, max_epochs: int, patience: int, min_improvement: float, precision: str = "float32",
    set_by: tuple[str, int] | None = None, resumable=None,
) -> dict:
    """Train until `validate()` has not improved by the fraction `min_improvement` for `patience` epochs.

    Appendix C.2: Adam, constant learning rate, everything else PyTorch's default; section D: "until no
    further improvement is gained". The weights of the epoch with the least validation loss are kept.
    `epoch` yields the batches of one epoch; `watch` gives what else belongs into the learning curve. `resumable`:
    where progress is written down after an epoch, and gone on from where the run was killed.
    Returns the record's `epochs`: the curves by name, one entry an epoch, `best` (counted from 1) and
    why training `stopped`. Raises FloatingPointError at the first epoch whose loss is not finite, MemoryError where a
    GPU's memory does not hold a batch, which says what to try for what the batch's size is `set_by`: a parameter and its value.
    """
    optimizer, device = adam(network, learning_rate), next(network.parameters()).device
    step = make_step(network, loss, optimizer, precision)
    smaller = smaller_batch(*set_by) if set_by else ""
    curves, kept = {"train_loss": [], "validation_loss": []}, copy_state(network)
    if resumable:
        resumable.starts_from("network", kept)
    if before := resumable.load() if resumable else {}:
        curves, kept = before["curves"], before["kept"]
        network.load_state_dict(before["network"])
        optimizer.load_state_dict(before["optimizer"])
        print(f"going on after epoch {len(curves['train_loss'])}; to start anew, delete {resumable.file}")
    losses = curves["validation_loss"]
    bar = progress_bar(max_epochs, len(losses))
    while len(losses) < max_epochs and epochs_waited(losses, min_improvement) < patience:
        total, count = torch.zeros((), device=device), 0
        with memory_guard("a training batch", smaller):
            for x, y in epoch():
                total += step(x, y) * len(y)
                count += len(y)
        held_out = validate()
        train_loss = float(total) / count
        if not (math.isfinite(train_loss) and math.isfinite(held_out)):
            raise FloatingPointError(
                f"epoch {len(losses) + 1}: the training loss is {train_loss}, the held-out loss {held_out}; "
                f"lower the learning rate, which is {learning_rate}"
            )
        if held_out < min(losses, default=math.inf):
            kept = copy_state(network)
        for name, value in {"train_loss": train_loss, "validation_loss": held_out, **watch()}.items():
            curves.setdefault(name, []).append(value)
        if resumable:
            resumable.save(curves=curves, kept=kept, network=network.state_dict(), optimizer=optimizer.state_dict())
        bar.set_postfix_str(f"loss {train_loss:.3f}, held-out loss {held_out:.3f}", refresh=False)
        bar.update()
    bar.close()
    network.load_state_dict(kept)
    stopped = "no improvement" if epochs_waited(losses, min_improvement) >= patience else "limit"
    return {"best": losses.index(min(losses)) + 1, "stopped": stopped, "curves": curves}


def smaller_batch(name: str, size: int) -> str:
    """What to try where a batch is too large: half of it, or of `tuples_per_batch`, which divides the classes, the next smaller divisor."""
    tried = (each for each in range(size // 2, 0, -1) if name != "tuples_per_batch" or size % each == 0)
    return next((f"{name} {each}" for each in tried), "")


def progress_bar(max_epochs: int, done: int) -> tqdm:
    """A bar of the epochs, on standard output: how many are done, their losses and the time left at most; none in a grid."""
    return tqdm(total=max_epochs, initial=done, unit=" epochs", file=sys.stdout, mininterval=1, leave=False, disable=in_grid())


def copy_state(network: nn.Module) -> dict[str, Tensor]:
    """The network's state as it is now."""
    return {name: t.clone() for name, t in network.state_dict().items()}


def format_curves(epochs: dict) -> str:
    """A record's `epochs` in a few lines, to print: why training stopped, and about eight points of every curve."""
    curves = epochs["curves"]
    lines = [f"stopped after {len(curves['train_loss'])} epochs ({epochs['stopped']}), the best was {epochs['best']}"]
    lines += [f"{name:>16}: " + " ".join(f"{value:.3f}" for value in curve[:: max(1, len(curve) // 8)]) for name, curve in curves.items()]
    return "\n".join(lines)
