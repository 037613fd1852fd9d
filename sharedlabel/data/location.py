"""Where the data sets lie."""
import os
from pathlib import Path

from sharedlabel import ROOT


class DataError(RuntimeError):
    """A data set is missing or damaged; the message says which files belong where."""


def root() -> Path:
    """Where the data sets lie: environment variable SHAREDLABEL_DATA (relative: to the repository), or data/ in the repository."""
    return ROOT / Path(os.environ.get("SHAREDLABEL_DATA") or "data").expanduser()
