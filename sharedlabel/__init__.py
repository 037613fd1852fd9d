"""Shared-label pruning: the thin package behind the notebooks.

The rooms follow one measurement, each standing only on those above it: `choices`, `folders`, `runtime` -> `data` -> `tuples` ->
`models`, `heads` -> `pruning` -> `live` -> `losses`, `training`, `embeddings`, `predictors`, `metrics`, `costs` -> `runs` -> `analysis`.
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
    exists = next(folder for folder in (cache, *cache.parents) if folder.exists())
    if not os.access(ROOT / "sharedlabel" / "live", os.W_OK) and not os.access(exists, os.W_OK):
        folder = tempfile.TemporaryDirectory(prefix="sharedlabel-numba-")
        atexit.register(folder.cleanup)
        os.environ.setdefault("NUMBA_CACHE_DIR", folder.name)


keep_compiled_code()
