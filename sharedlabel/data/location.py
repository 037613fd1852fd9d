"""Where the data sets lie."""
import os
from pathlib import Path

from sharedlabel import ROOT, folders


class DataError(RuntimeError):
    """A data set or an image is missing or damaged; the message, one line whatever files are called, says which belong where."""

    def __init__(self, message: str):
        super().__init__(folders.UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], message))


def root() -> Path:
    """Where the data sets lie: environment variable SHAREDLABEL_DATA (relative: to the repository), or data/ in the repository."""
    return ROOT / Path(os.path.expanduser(os.environ.get("SHAREDLABEL_DATA") or "data"))
