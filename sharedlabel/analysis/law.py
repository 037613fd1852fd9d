"""The law of large tuples over committed runs: what the moments of single images predict for every n, as CSV files in results/tables.

    python -m sharedlabel.analysis.law mnist          # or several data sets; all that have records without a name
    python -m sharedlabel.analysis.law --results benchmarks/fashionmnist      # of another folder of records

A network is built anew from its committed checkpoint and evaluated once on training and held-out images; no tuple is drawn. Runs that a
CSV holds are not computed again. A run without a committed checkpoint (an unpruned head, a large CNN) is left out. Of a folder of
one's own images the planner calls `update`, with its `path`, which no record says.
"""
import argparse
import json
import time
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy import stats
from torch import Tensor

from sharedlabel import ROOT, choices, data, inference, metrics, moments, predictors, tuples
from sharedlabel.data import Images
from sharedlabel.inference.networks import complete_parameters
from sharedlabel.runs import contradictions, names, parameters
from sharedlabel.runs.files import check_writable, write_atomically
from sharedlabel.runtime import random_stream, select_device

# A mean of outputs of single images predicts.
METHODS = ("baseline", "balanced", "freeze_retrain", "head_control", "readout", "small_dense")
MODELS = choices.ALL_MODELS
TRAINING_IMAGES, LEAST_OF_A_CLASS = 10_000, 200  # of which the moments are taken; more where there are many classes
DRAWS = 50_000  # of all classes together, for every predicted confusion matrix
TEST_SETS = 4  # that are drawn to see what a record would measure
RESAMPLED = (1, 2, 5)  # n at which tuples of training images are drawn, to see what normality costs
TESTED = (1, 5, 25)  # n at which the margin is tested for normality
EXAMPLE = {"dataset": "mnist", "model": "conv", "rho": 3.5, "seed": 1}  # a CNN whose means are shown, by the baseline and balanced
AT_ONCE = 12  # runs after which the files are written
BEYOND = [3, 4, 5, 7, 10, 15, 25, 40, 60, 80]  # n of which a folder of one's own rarely has tuples of test images
TUPLES, LEVEL = 200, 0.01  # of a class, and the level of that test


def record_files(dataset: str, model: str, results: str | Path = "results") -> list[Path]:
    """The records of METHODS on a data set and network that measured something and have a committed checkpoint."""
    folder = names.results_folder(results) / dataset / model
    files = sorted(file for method in METHODS for file in folder.glob(f"{dataset}-{model}-{method}-*.json"))
    files = [file for file in files if "-readout-" not in file.stem or "-lda-" in file.stem]  # of readouts those in closed form are enough
    return [file for file in files if file.with_suffix(".safetensors").exists()]


def digest(run: str) -> str:
    """The hash that ends a run's name, which is enough to find it."""
    return run.rpartition("-")[2]


def parameters_of(file: Path, path: str) -> dict:
    """`complete_parameters`; of a folder of one's own that lies at `path` such as its notebook was given."""
    return complete_parameters(file) | ({"dataset": "folder", "path": path} if path else {})


def sets_of(params: dict) -> tuple[Images, Images]:
    """`image_sets` of a run."""
    return image_sets(*(params.get(name, 0) for name in ("dataset", "held_out", "seed", "path", "image_size")))


@lru_cache(maxsize=2)
def image_sets(dataset: str, held_out: float, seed: int, path: str, image_size: int) -> tuple[Images, Images]:
    """About TRAINING_IMAGES of the images that the runs of a seed are trained on, as many of each class, and all that are held out."""
    train_set, held_out_set, _ = data.load_splits(dataset, held_out, seed, [1], path, image_size)
    members, size = data.by_class(train_set.labels), max(TRAINING_IMAGES // train_set.classes, LEAST_OF_A_CLASS)
    return train_set.subset(torch.cat([each[:size] for each in members]).sort().values), held_out_set


def run_outputs(file: Path, path: str = "") -> list[tuple[Tensor, Tensor]]:
    """(outputs [N, l], labels [N]) of the network of a record for training and for held-out images; `path` as in `parameters_of`.

    FileNotFoundError where a checkpoint is missing, ValueError where it is damaged or another network's.
    """
    net = inference.load(file)
    return [(single_outputs(net, images), images.labels) for images in sets_of(parameters_of(file, path))]


def single_outputs(net: inference.Predictor, images: Images) -> Tensor:
    """What a network says of each image by itself, [N, l]; `images` as its data set has them."""
    return net.combine(net.embed(images.pixels)[:, None])


def predict(outputs: Tensor, labels: Tensor, ns: list[float], generator: torch.Generator) -> list[tuple[float, float]]:
    """(n-accuracy, information gain in bits) that the law predicts for every n, and for n to infinity; classes are equally frequent.

    The information is that of tuples that share no image, corrected for the number of draws. nan where a class has one image, of which
    nothing is known to vary.
    """
    if torch.bincount(labels).min() < 2:
        return [(np.nan, np.nan)] * (len(ns) + 1)
    found = moments.class_moments(outputs, labels)
    draws = DRAWS // len(found.mean)
    confusions = draws * moments.predicted_confusion(found, ns, generator, draws)
    return [(metrics.n_accuracy(each), metrics.information_gain_corrected(each)) for each in (*confusions, moments.limit_confusion(found))]


def measured_information(
    outputs: Tensor, labels: Tensor, ns: list[int], images: int, per_class: int, generator: torch.Generator
) -> list[float]:
    """The information gain in bits that a record would measure at every n, were outputs normal: that of `random` tuples, `per_class` of
    each class, of a test set with so many `images` a class (in `law_rows` as its smallest class has, 892 on MNIST, where it is a little too
    much). They share images, so that it is more than `predict` says. The mean over TEST_SETS; nan where a class has one image to take
    moments of.
    """
    if torch.bincount(labels).min() < 2:
        return [np.nan] * len(ns)
    known, found = moments.class_moments(outputs, labels), np.zeros((TEST_SETS, len(ns)))
    for row in found:
        drawn, drawn_labels = moments.normal_images(known, images, generator)
        drawn = drawn.float()
        for i, n in enumerate(ns):
            chosen = tuples.random(drawn_labels, n, generator, per_class)
            predictions = predictors.mean_of_logits(drawn, chosen)
            row[i] = metrics.information_gain(metrics.confusion(drawn_labels[chosen[:, 0]], predictions, drawn.shape[1]))
    return found.mean(0).tolist()


def resampled_accuracy(outputs: Tensor, labels: Tensor, n: int, generator: torch.Generator) -> float:
    """The n-accuracy of random n-tuples of these very images: as the law, without its assumption that means are normal."""
    members = data.by_class(labels)
    hits = []
    for label, own in enumerate(members):
        chosen = own[:, None] if n == 1 else own[torch.randint(len(own), (DRAWS // len(members), n), generator=generator)]
        hits.append(float((predictors.mean_of_logits(outputs, chosen) == label).double().mean()))
    return float(np.mean(hits))


def margins(outputs: Tensor, labels: Tensor) -> list[np.ndarray]:
    """For every class: by how much its images' own output exceeds that of the class's rival, the other class with the largest mean."""
    found = []
    for label, own in enumerate(data.by_class(labels)):
        mean = outputs[own].mean(0)
        mean[label] = -torch.inf
        found.append((outputs[own, label] - outputs[own, mean.argmax()]).double().numpy())
    return found


def margin_statistics(outputs: Tensor, labels: Tensor, generator: np.random.Generator) -> dict[str, float]:
    """How far the margins of single images are from normal, mean over classes, and for TESTED n in how many classes that shows.

    `normal_N`: the share of classes in which D'Agostino and Pearson's test does not reject that the mean margins of TUPLES random
    N-tuples are normal, at LEVEL. Classes whose margin is constant are left out; nan if all are.
    """
    varying = [each for each in margins(outputs, labels) if each.std() > 1e-9 * max(1.0, abs(each).max())]
    if not varying:
        return {}
    skewness, kurtosis = ([how(each) for each in varying] for how in (stats.skew, stats.kurtosis))
    found = {"skewness": np.abs(skewness).mean(), "kurtosis": np.mean(kurtosis)}
    for n in TESTED:
        means = [generator.choice(each, (TUPLES, n)).mean(1) for each in varying]
        found[f"normal_{n}"] = np.mean([stats.normaltest(each).pvalue >= LEVEL if each.std() > 0 else False for each in means])
    return found


def law_rows(file: Path, path: str = "") -> tuple[list[dict], dict]:
    """What the law says of a run: a row for every n that its record has, and one for n = inf; and its `margin_statistics`.

    Of a folder of one's own there are rows for larger n, too (BEYOND). path: as in `parameters_of`.
    """
    record, run = json.loads(file.read_text()), digest(file.stem)
    measured, params = sorted({row["n"] for row in record["measures"]}), parameters_of(file, path)
    ns = measured + [n for n in BEYOND if path and n > measured[-1]]
    (outputs, labels), held_out = run_outputs(file, path)
    images = {"training": (outputs, labels), "held_out": held_out}
    columns = {name: predict(*own, ns, random_stream(0, "law")) for name, own in images.items()}
    rows = [{"run": run, "n": n} for n in (*ns, np.inf)]
    for name, predicted in columns.items():
        for row, (accuracy, information) in zip(rows, predicted):
            row |= {f"{name}_accuracy": accuracy} | ({f"{name}_information": information} if name == "training" else {})
    test = contradictions.data_set(params).largest_tuple, params["tuples_per_class"]
    for row, information in zip(rows, measured_information(outputs, labels, measured, *test, random_stream(0, "test set"))):
        row["measured_information"] = information
    for row in rows:
        if row["n"] in RESAMPLED:
            row["resampled_accuracy"] = resampled_accuracy(outputs, labels, row["n"], random_stream(0, "resampled"))
    return rows, {"run": run} | margin_statistics(outputs, labels, np.random.default_rng(0))


def table_files(dataset: str, model: str, results: str | Path = "results") -> tuple[Path, Path]:
    """Where the law's rows of a data set and network lie, and its margins."""
    folder = names.results_folder(results) / "tables"
    return folder / f"law_{dataset}_{model}.csv", folder / f"law_margins_{dataset}_{model}.csv"


COLUMNS = (
    ["run", "n", "training_accuracy", "training_information", "measured_information", "held_out_accuracy", "resampled_accuracy"],
    ["run", "skewness", "kurtosis", *(f"normal_{n}" for n in TESTED)],
)


def read_all(kind: int, results: str | Path = "results") -> pd.DataFrame:
    """The law's rows of all data sets and networks (`kind` 0), or their margins (1)."""
    own = sorted(folder.name for folder in names.results_folder(results).glob("folder-*"))
    files = [table_files(dataset, model, results)[kind] for dataset in (*choices.DATASETS, *own) for model in MODELS]
    found = pd.concat([read(file) for file in files if file.exists()] or [pd.DataFrame(columns=["run"])], ignore_index=True)
    return found.reindex(columns=COLUMNS[kind]).astype({name: float for name in COLUMNS[kind][1:]})


def read(file: Path) -> pd.DataFrame:
    """A CSV of the law, its run as text; empty where there is none."""
    return pd.read_csv(file, dtype={"run": str}) if file.exists() else pd.DataFrame(columns=["run"])


def up_to_date(file: Path, kind: int) -> pd.DataFrame:
    """`read`, without rows where the file is of older code, which lacked a column: all are made anew."""
    table = read(file)
    return table if set(COLUMNS[kind]) <= set(table) else table[:0]


def update(dataset: str, model: str, results: str | Path = "results", path: str = "") -> int:
    """Bring the CSV files of a data set and network up to date with its records; returns how many runs were computed."""
    targets, files = table_files(dataset, model, results), {digest(file.stem): file for file in record_files(dataset, model, results)}
    known = set(up_to_date(targets[0], 0)["run"]) & set(up_to_date(targets[1], 1)["run"])
    new = [file for run, file in files.items() if run not in known]
    if new:
        check_writable(targets[0].parent)
    new.sort(key=lambda file: (complete_parameters(file)["seed"], file))  # so that a seed's images and a CNN's embeddings are computed once
    for start in range(0, len(new), AT_ONCE):
        found = [law_rows(file, path) for file in new[start : start + AT_ONCE]]
        added = pd.DataFrame([row for rows, _ in found for row in rows]), pd.DataFrame([row for _, row in found])
        for kind, (target, table) in enumerate(zip(targets, added)):
            table, old = table.reindex(columns=COLUMNS[kind]), up_to_date(target, kind)
            write(target, pd.concat([old, table]) if len(old) else table, set(files))
    return len(new)


def write(target: Path, table: pd.DataFrame, runs: set[str]) -> None:
    """Write those of a table's rows that are of `runs`, each once, in a fixed order."""
    keys = [name for name in ("run", "n") if name in table]
    table = table[table["run"].isin(runs)].drop_duplicates(keys, keep="last").sort_values(keys)
    write_atomically({target: table.to_csv(index=False, float_format="%.4g", lineterminator="\n").encode()})


def write_example() -> None:
    """Class means and covariances of EXAMPLE's networks on training images, for a worked example: results/tables/law_example.csv."""
    rows = []
    for method in ("baseline", "balanced"):
        run = {"method": method} | parameters.check(method, EXAMPLE)
        found = moments.class_moments(*run_outputs(names.record_path(parameters.identity(method, run), "results"))[0])
        for label, (mean, covariance) in enumerate(zip(found.mean, found.covariance)):
            entries = {"mean": mean} | {f"covariance {j}": row for j, row in enumerate(covariance)}
            rows += [{"method": method, "label": label, "entry": name} | dict(enumerate(value.tolist())) for name, value in entries.items()]
    content = pd.DataFrame(rows).to_csv(index=False, float_format="%.5g", lineterminator="\n")
    write_atomically({ROOT / "results" / "tables" / "law_example.csv": content.encode()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", metavar="DATASET", help="all that have records, if none is named")
    parser.add_argument("--results", default="results", help="the folder of records, relative to the repository")
    arguments = parser.parse_args()
    for folder in map(names.results_folder(arguments.results).joinpath, arguments.datasets or [""]):
        if not folder.is_dir():
            parser.error(f"there is no folder of records {folder}")
    select_device("cpu")
    for dataset in arguments.datasets or choices.DATASETS:
        for model in MODELS:
            start = time.monotonic()
            if count := update(dataset, model, arguments.results):
                print(f"{dataset}, {model}: {count} runs in {time.monotonic() - start:.0f} s")
        if dataset == EXAMPLE["dataset"] and arguments.results == "results":
            write_example()


if __name__ == "__main__":
    main()
