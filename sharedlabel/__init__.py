"""Shared-label pruning: the thin package behind the notebooks.

The rooms follow one measurement, each standing only on those above it: `choices`, `runtime` -> `data` -> `tuples` -> `models`, `heads`
-> `pruning` -> `live` -> `losses`, `training`, `embeddings`, `predictors`, `metrics`, `costs` -> `runs` -> `analysis`.
Every path is anchored here, because papermill, nbval and JupyterLab each start in a different folder.
"""
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
