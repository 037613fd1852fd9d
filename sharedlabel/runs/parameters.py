"""What a run is told, checked before anything is trained.

A method notebook's `parameters` cell is the one place where its parameters, their defaults and types
are written down; it is read here (never executed), so that the notebook, the grid and the tests agree.
"""
import ast
import json
import math

import yaml

from sharedlabel import ROOT, choices
from sharedlabel.runs import names

# These change where and how a run happens, not its result: they are in no name and in no record.
RUNTIME_PARAMETERS = {"device", "results", "on_collapse"}
ALLOWED = {
    "dataset": choices.DATASETS, "model": choices.MODELS, "initialisation": choices.INITIALISATIONS, "pruner": choices.PRUNERS,
    "augment": choices.AUGMENTATIONS, "precision": choices.PRECISIONS, "on_collapse": choices.ON_COLLAPSE,
    "cnn_method": choices.CNN_METHODS, "cnn_training": choices.CNN_TRAININGS, "order": choices.READING_ORDERS,
    "head_pruner": choices.PRUNERS, "head_biases": choices.HEAD_BIASES, "architecture": choices.ARCHITECTURES,
}
AT_LEAST = {  # parameter: (least value, whether the least value itself is allowed)
    "rho": (0, True), "seed": (0, True), "n": (1, True), "prune_iterations": (1, True), "batch_size": (1, True),
    "learning_rate": (0, False), "max_epochs": (1, True), "patience": (1, True), "min_improvement": (0, True),
    "held_out": (0, False), "standard_weight": (0, True), "tuple_size": (1, True), "tuples_per_batch": (1, True), "free_layers": (1, True),
    "tuples_per_class": (1, True),
    "head_rho": (0, True), "train_n": (1, True), "permutations": (1, True), "head_batch_size": (1, True),
    "head_learning_rate": (0, False), "head_max_epochs": (1, True), "message_weight": (0, True), "revision": (1, True),
}
AT_MOST = {"standard_weight": (1, True), "message_weight": (1, True), "held_out": (0.5, True), "min_improvement": (1, False)}
# Numbers that need not be whole, whatever the parameters cell says: edited to `rho = 3`, it still means 3.0.
FLOATS = {"rho", "learning_rate", "min_improvement", "held_out", "standard_weight", "head_rho", "head_learning_rate", "message_weight"}


class ParameterError(ValueError):
    """A parameter that a run or study was given is unknown, of the wrong type or out of range."""


def method_names() -> list[str]:
    """The methods that have a notebook."""
    return sorted(notebook.stem for notebook in (ROOT / "notebooks" / "methods").glob("*.ipynb"))


def defaults(method: str) -> dict:
    """The parameters of a method and their default values, read from its notebook's `parameters` cell."""
    if method not in method_names():
        raise ParameterError(f"method: {method!r} is unknown; allowed: {', '.join(method_names())}")
    notebook = json.loads((ROOT / "notebooks" / "methods" / f"{method}.ipynb").read_text())
    cell = next(c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", []))
    assignments = ast.parse("".join(cell["source"])).body
    found = {node.targets[0].id: ast.literal_eval(node.value) for node in assignments}
    return {name: float(value) if name in FLOATS and type(value) is int else value for name, value in found.items()}


def default(name: str):
    """The default value of a parameter, in the notebooks that have it."""
    return next(found[name] for method in method_names() if name in (found := defaults(method)))


def check(method: str, given: dict, where: str = "the parameters cell, papermill's -p or -y, or the study's YAML") -> dict:
    """All parameters of a run of `method`, defaults filled in, types settled (a whole rho becomes a float).

    Raises ParameterError, which names the value, what is allowed and where to set it.
    """
    known, params = defaults(method), {}
    for name in given:
        if name not in known:
            raise ParameterError(f"{name}: not a parameter of {method} (set in {where}); it has {', '.join(known)}")
    for name, default in known.items():
        value = given.get(name, default)
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not type(default):
            allowed = type(default).__name__ + hint(value, type(default))
            raise ParameterError(f"{name}: {value!r} is {type(value).__name__}, allowed is {allowed} (set in {where})")
        if isinstance(default, list):
            kind = type(default[0])
            wrong = [f"{each!r} is {type(each).__name__}" for each in value if type(each) is not kind]
            if wrong or not value:
                wrong, allowed = wrong[0] if wrong else "[] is empty", f"a list of {kind.__name__}"
                raise ParameterError(f"{name}: {wrong}, allowed is {allowed} (set in {where})")
        for each in value if isinstance(value, list) else [value]:
            check_value(name, each, where)
        params[name] = value
    if "n" in params and isinstance(params["n"], list) and len(set(params["n"])) < len(params["n"]):
        raise ParameterError(f"n: {params['n']} names a value twice (set in {where})")
    if params["model"] == "resnet18" and choices.DATASETS[params["dataset"]].channels != 3:
        raise ParameterError(
            f"model: resnet18 reads 3 colour channels, and an image of {params['dataset']} has {choices.DATASETS[params['dataset']].channels}; "
            f"use fc, conv or wideresnet20 (set in {where})"
        )
    if params.get("cnn_training", "frozen") != "frozen" and params["model"] not in ("fc", "conv"):
        raise ParameterError(
            f"cnn_training: {params['cnn_training']!r} is for networks whose embeddings are their logits, fc and conv; "
            f"allowed for {params['model']}: frozen (set in {where})"
        )
    for name, only in {"standardised": False, "precision": "float32"}.items():  # of embeddings that are computed once
        if params.get("cnn_training", "frozen") != "frozen" and params[name] != only:
            raise ParameterError(
                f"{name}: {params[name]!r} is for a frozen CNN; "
                f"allowed with cnn_training {params['cnn_training']}: {only!r} (set in {where})"
            )
    if "architecture" in params and params["n"] != [params["train_n"]]:
        raise ParameterError(
            f"n: {params['n']} is not allowed; a graph network is built for train_n = {params['train_n']} images, "
            f"so allowed is [{params['train_n']}] (set in {where})"
        )
    return params


def hint(value, kind: type) -> str:
    """How to write a number that YAML 1.1 took for text, such as 1e-3."""
    try:
        number = kind(value) if isinstance(value, str) and kind in (int, float) else math.nan
    except ValueError:
        number = math.nan
    return f"; write {yaml.safe_dump(number).split()[0]}" if math.isfinite(number) else ""


def check_value(name: str, value, where: str) -> None:
    if name in ALLOWED and value not in ALLOWED[name]:
        raise ParameterError(f"{name}: {value!r} is unknown; allowed: {', '.join(ALLOWED[name])} (set in {where})")
    if name in AT_LEAST:
        least, inclusive = AT_LEAST[name]
        most, itself = AT_MOST.get(name, (math.inf, True))
        allowed = f"a number {'>=' if inclusive else '>'} {least}" + (f" and {'<=' if itself else '<'} {most}" if name in AT_MOST else "")
        finite = type(value) in (int, float) and math.isfinite(value)
        excluded = (value == least and not inclusive) or (value == most and not itself)
        if not finite or not least <= value <= most or excluded:
            raise ParameterError(f"{name}: {value!r} is not allowed; it is {allowed} (set in {where})")


def from_notebook(method: str, namespace: dict) -> dict:
    """The checked parameters of a running method notebook; `namespace` is its `globals()`.

    What was given is what the cells from the parameters cell up to this call assign (papermill adds a
    cell of its own after it), as IPython's history `In` has them: so a parameter that papermill passes
    and the notebook does not have is refused, and running the notebook twice in one kernel works.
    """
    history = [assigned_names(source) for source in namespace["In"]]
    start = max(i for i, found in enumerate(history) if set(defaults(method)) <= found)
    end = next(i for i in range(start, len(history)) if "from_notebook(" in namespace["In"][i])
    return check(method, {name: namespace[name] for name in set().union(*history[start:end])})


def assigned_names(source: str) -> set[str]:
    """The names that a cell assigns at its top level; none where it is not plain Python."""
    try:
        body = ast.parse(source).body
    except SyntaxError:
        return set()
    return {target.id for node in body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)}


def prerequisite(method: str, params: dict) -> dict | None:
    """The run that a run of `method` starts from (its `method` and all its parameters), None where it starts afresh.

    It has the same parameters, as far as both notebooks know them, and its own notebook's revision. A head starts from
    the CNN of its `cnn_method`, measured at the usual n that the data set has test images for, unless the two are trained as one.
    """
    first = params.get("cnn_method", "baseline" if method == "freeze_retrain" else None)
    if first is None or params.get("cnn_training") == "end_to_end":
        return None
    usual = defaults(first)
    own = {"method": first, "revision": usual["revision"]}
    if "cnn_method" in params:
        own["n"] = [size for size in usual["n"] if size <= choices.DATASETS[params["dataset"]].largest_tuple]
    return usual | {name: params[name] for name in usual if name in params} | own


def identity(method: str, params: dict) -> dict:
    """The part of `params` that decides the result, `method` included: a record's `params`, what is `ADDED` left out."""
    left_out = RUNTIME_PARAMETERS | {name for name, value in names.LATER_PARAMETERS.items() if params.get(name) == value}
    return {"method": method} | {names.RECORDED_AS.get(name, name): value for name, value in params.items() if name not in left_out}
