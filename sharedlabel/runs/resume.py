"""Training that was killed goes on: how far it has come is written down beside where the run's record will lie.

On a CPU of the same kind it ends in the same bytes as if nothing had happened.
"""
import hashlib
import io
import json
import time
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from sharedlabel import ROOT, runtime
from sharedlabel.runs import names
from sharedlabel.runs.files import write_atomically

SECONDS_BETWEEN_WRITES = 60.0  # seconds between two writings, at least


class Resumable:
    """How far a run's training has come, in a file beside where its record will lie (`names.progress_path`), so that a killed run goes on.

    It remembers the run's random streams (`random_stream`) and seconds by itself; the rest is what `save` is given. Training starts anew where
    the run has a record already, and where it was killed under other code, other versions or on another kind of device, or started from
    other numbers (`starts_from`).
    """

    def __init__(self, record: Path, device: torch.device):
        self.file, self.device = names.progress_path(record), device
        self.started = self.written = time.monotonic()
        self.streams: dict[str, torch.Generator] = {}
        self.made_by = {"code": code_digest(), "device": device.type, **{name: version(name) for name in ("torch", "numpy", "numba")}}
        if record.exists():
            self.file.unlink(missing_ok=True)

    def starts_from(self, what: str, tensors: dict[str, Tensor]) -> None:
        """Training goes on only where it started from the same: another processor may choose other masks, another run be repeated."""
        self.made_by[what] = hashlib.sha256(b"".join(t.detach().cpu().contiguous().numpy().tobytes() for t in tensors.values())).hexdigest()

    def seconds(self) -> float:
        """How long the run has taken, over all its starts; what came after a start's last writing is not in it."""
        return time.monotonic() - self.started

    def random_stream(self, seed: int, purpose: str) -> torch.Generator:
        """`runtime.random_stream`, for what training draws from."""
        self.streams[purpose] = runtime.random_stream(seed, purpose)
        return self.streams[purpose]

    def save(self, **state) -> None:
        """Write down how far training has come (tensors, numbers, text, in lists and dicts), unless it was done less than `SECONDS_BETWEEN_WRITES` ago."""
        if time.monotonic() - self.written < SECONDS_BETWEEN_WRITES:
            return
        streams = {purpose: generator.get_state() for purpose, generator in self.streams.items()}
        content = io.BytesIO()
        torch.save({"made_by": self.made_by, "streams": streams, "seconds": self.seconds(), "state": state}, content)
        write_atomically(self.file, content.getvalue())
        self.written = time.monotonic()

    def load(self) -> dict:
        """What the last `save` was given, streams and seconds being put back, too; {} where training starts anew."""
        if not self.file.exists():
            return {}
        try:
            found = torch.load(self.file, map_location=self.device, weights_only=True)  # which runs no code
        except Exception as error:  # a damaged file, for which torch documents no error
            print(f"{self.file} cannot be read ({type(error).__name__}): training starts anew")
            return {}
        differ = [name for name in self.made_by if found["made_by"].get(name) != self.made_by[name]]
        if differ:
            print(f"{', '.join(differ)} changed since training was killed: it starts anew")
            return {}
        for purpose, state in found["streams"].items():
            self.streams[purpose].set_state(state.cpu())
        self.started = time.monotonic() - found["seconds"]
        return found["state"]


def code_digest() -> str:
    """A digest of what runs are made of: the package without `analysis`, and the code of the method notebooks without their parameters."""
    package = ROOT / "sharedlabel"
    parts = [file.read_text() for file in sorted(package.rglob("*.py")) if not file.is_relative_to(package / "analysis")]
    for file in sorted((ROOT / "notebooks" / "methods").glob("*.ipynb")):
        cells = json.loads(file.read_text())["cells"]
        parts += ["".join(c["source"]) for c in cells if c["cell_type"] == "code" and "parameters" not in c["metadata"].get("tags", [])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
