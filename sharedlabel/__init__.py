"""Shared-label pruning: the thin package behind the notebooks.

The modules follow one measurement: `data` -> `models` -> `pruning` -> `live` -> `training` (`losses`)
-> `tuples`, `methods` -> `measures`, `costs` -> `records` -> `figures`; `parameters` reads what a run
or a study is told. Every path is anchored here, because papermill, nbval and JupyterLab each start
in a different folder.
"""
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
