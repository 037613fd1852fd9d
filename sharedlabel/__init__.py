"""Shared-label pruning: the thin package behind the notebooks.

The rooms follow one measurement, each standing only on those before it: `choices`, `folders`, `runtime` -> `data` -> `tuples`, `losses` ->
`models`, `heads` -> `pruning` -> `live` -> `training`, `embeddings`, `predictors`, `moments`, `readouts`, `metrics`, `costs` -> `runs` ->
`inference` -> `analysis`.
Every path is anchored here, because papermill, nbval and JupyterLab each start in a different folder.
"""
import atexit
import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def keep_compiled_code() -> None:
    """Give numba a folder where it may write neither beside the package nor below HOME, without which it refuses to compile.

    The folder is this process's own: what numba keeps there are pickles, which nobody else may place. It goes when the process ends.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    exists = next(folder for folder in (cache, *cache.parents) if os.path.exists(folder))  # Path's raises below a closed one
    if not os.access(ROOT / "sharedlabel" / "live", os.W_OK) and not os.access(exists, os.W_OK):
        folder = tempfile.TemporaryDirectory(prefix="sharedlabel-numba-")
        atexit.register(folder.cleanup)
        os.environ.setdefault("NUMBA_CACHE_DIR", folder.name)


def load(record: str | Path, results: str | Path = "results"):
    """The trained network of a record, ready to predict (`inference.Predictor`); it is trained on nothing, and needs no data
    set, but for a few old LSTM heads (docs/predicting.md).

        net = sharedlabel.load("mnist-conv-baseline-synflow-rho2.5-seed0")
        net.predict(["a.png", "b.png", "c.png"])        # images that share a label
        net.predict_groups("folder")                    # a sub-folder each such group

    record: a record's name, the beginning of it that only one has, or the path of its .json. results: the folder of records to look in,
    from the repository's root. ParameterError (a ValueError) where there is no such record, FileNotFoundError where it has no checkpoint.
    """
    from sharedlabel import inference  # and torch with it, without which studies are read quickly

    return inference.load(record, results)


keep_compiled_code()
