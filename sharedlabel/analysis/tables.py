"""The records of a folder as tidy tables."""
import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path

import pandas as pd

from sharedlabel import choices
from sharedlabel.runs import names, parameters

MEASURES = ["n", "protocol", "tuples", "n_accuracy", "information_gain", "information_gain_corrected", "relative_information", "macs_live"]


def load_records(results: str | Path = "results", methods: Iterable[str] = choices.PAPER_METHODS) -> pd.DataFrame:
    """The records of `methods` below `results` as one tidy table: a row a run, n and protocol.

    Columns: `run`, every parameter of every method (`names.LATER_PARAMETERS` filled in; nan where a method has none of that
    name), the entries of `measures`, and of the network's parts summed: `params_total`, `params_remaining`, `macs_dense`,
    `macs_live_image` (of one image; `macs_live` is the tuple's) and `additions` (that pool one image); `classes` of the data set;
    `seconds`; of its training, `limit_epochs` and `images_a_step` (`parameters.training_limit`), `epochs` (how many), `best` and whether it
    stopped `at_limit`, where it might still have improved. `collapsed`: pruning left no path from input to output; such a run measured
    nothing, and has one row, empty there. `idle`: at this n it names one class whatever it sees. FileNotFoundError where there is none,
    ValueError, which names the file, on one that is damaged.
    """
    found = gather(results, rows_of, methods)
    if found.empty:  # the columns that it would have
        found = gather(results, rows_of, parameters.method_names()).head(0)
    return found.reindex(columns=list(dict.fromkeys([*found, *MEASURES, *parameter_names()])))


def record_path(run, results: str | Path = "results") -> Path:
    """Where the record of a row of `load_records` lies."""
    return names.results_folder(results) / run.dataset / run.model / f"{run.run}.json"


def parameter_names() -> list[str]:
    """The parameters of all methods that decide a result, in alphabetical order."""
    every = set().union(*map(parameters.defaults, parameters.method_names()))
    return sorted(every - parameters.RUNTIME_PARAMETERS)


def configurations(table: pd.DataFrame) -> pd.Series:
    """A number for each combination of all parameters but n and seed, which the rows of one combination share."""
    chosen = {"method", *parameter_names()} - {"n", "seed"}
    return table.groupby(sorted(chosen & set(table.columns)), dropna=False).ngroup()


def check_distinct(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The table as it is, if no two of its runs have the same `keys`; else ValueError: a mean over seeds would mix what differs in more."""
    twice = table[table.duplicated(keys, keep=False)]
    if len(twice):
        raise ValueError(f"runs that differ in more than {', '.join(keys)} cannot be averaged: {', '.join(sorted(set(twice['run'])))}")
    return table


def select(found: pd.DataFrame, **wanted) -> pd.DataFrame:
    """The rows whose columns have the `wanted` values."""
    for name, value in wanted.items():
        found = found[found[name] == value]
    return found


def load_curves(results: str | Path = "results", methods: Iterable[str] = choices.PAPER_METHODS) -> pd.DataFrame:
    """The learning curves of the records of `methods` below `results` as one table: a row a run and epoch.

    Columns: `run`, `epoch` (from 1) and the curves by name, nan where a run did not watch it. Errors as in `load_records`.
    """
    return gather(results, curve_rows, methods)


def gather(results: str | Path, rows: Callable[[dict, str], list[dict]], methods: Iterable[str]) -> pd.DataFrame:
    """The rows(record, run) of every record of `methods` below `results`, one below the other; read anew where a file has changed."""
    folder = names.results_folder(results)
    files = [(file, file.stat()) for file in sorted(folder.rglob("*.json"))]
    if not files:
        raise FileNotFoundError(f"no record lies below {folder}; a study's runs put theirs there (make grid STUDY=...)")
    return read(tuple((file, stat.st_mtime_ns, stat.st_size) for file, stat in files), rows, frozenset(methods)).copy()


@lru_cache(maxsize=8)  # a scoreboard reads the same records for every section
def read(files: tuple[tuple[Path, int, int], ...], rows: Callable[[dict, str], list[dict]], methods: frozenset[str]) -> pd.DataFrame:
    """`gather` from files, each with its time of change and size."""
    found = []
    for file, *_ in files:
        try:
            record = json.loads(file.read_text())
            found += rows(record, file.stem) if record["params"]["method"] in methods else []
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{file} is not a whole record ({error!r}); delete it, and its study makes it again") from error
    return pd.DataFrame(found)


def rows_of(record: dict, run: str) -> list[dict]:
    """One record's rows of the table."""
    params = {key: tuple(v) if isinstance(v, list) else v for key, v in parameters.of_record(record["params"]).items() if key != "n"}
    parts, trained = record["network"].values(), record["epochs"]
    network = {key: sum(part[key] for part in parts) for key in ("params_total", "params_remaining", "macs_dense", "macs_live")}
    network["macs_live_image"] = network.pop("macs_live")
    network["additions"] = sum(part.get("additions", 0) for part in parts)
    epochs = {"epochs": len(trained["curves"]["train_loss"]) if trained else None, "best": trained.get("best")}
    outcome = {"collapsed": record["status"] == "layer_collapse", "at_limit": trained.get("stopped") == "limit"}
    everywhere = {name: names.LATER_PARAMETERS[name] for name in ("augment", "initialisation")}  # also of methods that cannot vary them
    base = {"run": run, **outcome, **everywhere, **params, **network, **epochs}
    base |= {"classes": count_classes(record)} | parameters.training_limit(params)
    base["seconds"] = record["provenance"]["seconds"]
    return [base | measure | {"idle": measure.get("information_gain") == 0} for measure in record["measures"] or [{}]]


def count_classes(record: dict) -> int | None:
    """How many classes a record's data set has; None for a folder where nothing was measured."""
    dataset, each = record["params"]["dataset"], record["params"]["tuples_per_class"]
    if dataset in choices.DATASETS:
        return choices.DATASETS[dataset].classes
    return next((measure["tuples"] // each for measure in record["measures"] if measure["protocol"] == "random"), None)


def curve_rows(record: dict, run: str) -> list[dict]:
    """One record's rows of the table of learning curves."""
    curves = record["epochs"].get("curves", {})
    return [{"run": run, "epoch": epoch, **dict(zip(curves, values))} for epoch, values in enumerate(zip(*curves.values()), start=1)]


def at_defaults(table: pd.DataFrame, columns: Iterable[str], but: Iterable[str] = ()) -> pd.DataFrame:
    """The runs of a table (`tables.load_records`) whose parameters `columns`, those in `but` excepted, are the usual ones.

    A method that has no parameter of a name has it nan, which is as usual; so is a name that no run has.
    """
    for name in columns:
        if name not in but and name in table:
            table = table[table[name].isna() | (table[name] == usual_values(table, name))]
    return table


def name_trainings(table: pd.DataFrame) -> list[str]:
    """Balanced training in words, of runs that have it: "λ = 0.5, 10 tuples of 8"."""
    values = zip(table["standard_weight"], table["tuples_per_batch"], table["tuple_size"])
    return [f"λ = {weight:g}, {count:g} tuples of {size:g}" for weight, count, size in values]


HEAD_SETTINGS = ["order", "cnn_training", "standardised", "head_biases", "head_pruner", "head_score_n", "head_batch_size",
                 "head_learning_rate"]


def name_unusual(table: pd.DataFrame, columns: Iterable[str] = tuple(HEAD_SETTINGS)) -> pd.Series:
    """Those parameters of each run that are not the usual ones, in words: "order random, head score n 5"; "" where all are."""
    words = pd.Series("", table.index)
    for name in columns:
        of_method = table["method"].map({method: parameters.defaults(method).get(name) for method in set(table["method"])})
        unusual = table[name].notna() & (table[name] != usual_values(table, name)) & (table[name] != of_method)
        values = table[name].map(lambda value: f"{value:g}" if isinstance(value, float) else str(value))
        words = words.mask(unusual, words + ", " + name.replace("_", " ") + " " + values)
    return words.str.removeprefix(", ")


DECIDED_BY = ["classes", "cnn_method", "train_n", "head_rho"]  # what a default stands for (`parameters.effective`)


def usual_values(table: pd.DataFrame, name: str):
    """The default of a parameter for each run of a table, one value where it is the same for all; where it is not known, what a run has."""
    value, decided_by = parameters.default(name), [column for column in DECIDED_BY if column in table]
    if name not in ("tuple_size", "tuples_per_batch", "head_score_n") or not decided_by:
        return value
    kinds = table[decided_by].drop_duplicates()
    known = kinds.reindex(columns=["classes"]).fillna(0)["classes"]  # 0: a folder of which nothing was measured
    usual = [parameters.effective(kind | {name: value}, int(n))[name] for kind, n in zip(kinds.to_dict("records"), known)]
    found = table[decided_by].merge(kinds.assign(usual=usual), how="left").set_axis(table.index)["usual"]
    return found.mask(found == 0, table[name])
