"""A training that was killed goes on: its progress is saved beside where the run's record will lie.

On a CPU of the same kind it ends in the same bytes as if nothing had happened.
"""
import hashlib
import io
import json
import time
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor

from sharedlabel import ROOT, runtime
from sharedlabel.runs import names
from sharedlabel.runs.files import remove_stale_parts, write_atomically

SECONDS_BETWEEN_WRITES = 60.0
DIGEST_BYTES = 32  # of the sha256 that a progress file begins with


class Resumable:
    """The progress of a run's training, in a file beside where its record will lie (`names.progress_path`).

    It holds the run's random streams (`random_stream`) and seconds, and what `save` is given. Training starts anew where the run has
    a record already, where the file is damaged, and where it was written by other code, by other versions, on another kind of device
    or from other initial values (`starts_from`).
    """

    def __init__(self, record: Path, device: torch.device):
        self.file, self.device = names.progress_path(record), device
        self.started = self.written = time.monotonic()
        self.streams: dict[str, torch.Generator] = {}
        self.made_by = {"code": code_digest(), "device": device.type, **{name: version(name) for name in ("torch", "numpy", "numba")}}
        remove_stale_parts(self.file)
        if record.exists():
            self.file.unlink(missing_ok=True)

    def starts_from(self, what: str, tensors: dict[str, Tensor]) -> None:
        """Training goes on only where `what` had these values: another processor may choose other masks, and a run may be repeated."""
        values = (tensors[name].detach().cpu().contiguous().numpy().tobytes() for name in sorted(tensors))
        self.made_by[what] = hashlib.sha256(b"".join(values)).hexdigest()

    def seconds(self) -> float:
        """How long the run has taken, over all its starts; what came after a start's last writing is not in it."""
        return time.monotonic() - self.started

    def random_stream(self, seed: int, purpose: str) -> torch.Generator:
        """`runtime.random_stream`, for what training draws from."""
        self.streams[purpose] = runtime.random_stream(seed, purpose)
        return self.streams[purpose]

    def save(self, **state) -> None:
        """Save the training's state (tensors, numbers, text, in lists and dicts), unless that was done within `SECONDS_BETWEEN_WRITES`.

        A file that cannot be written is a warning.
        """
        if time.monotonic() - self.written < SECONDS_BETWEEN_WRITES:
            return
        streams = {purpose: generator.get_state() for purpose, generator in self.streams.items()}
        content = io.BytesIO()
        torch.save({"made_by": self.made_by, "streams": streams, "seconds": self.seconds(), "state": state}, content)
        try:
            write_atomically({self.file: hashlib.sha256(content.getvalue()).digest() + content.getvalue()})
        except OSError as error:
            warnings.warn(f"training goes on, but its progress is not saved: {error}", stacklevel=2)
        self.written = time.monotonic()

    def load(self) -> dict:
        """What the last `save` was given, with streams and seconds put back; {} where training starts anew."""
        if not self.file.exists():
            return {}
        fresh = {purpose: stream.get_state() for purpose, stream in self.streams.items()}
        try:
            content = self.file.read_bytes()
            if hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
                raise ValueError("its checksum is wrong")
            found = torch.load(io.BytesIO(content[DIGEST_BYTES:]), map_location=self.device, weights_only=True)  # which runs no code
            differ = [name for name in self.made_by if found["made_by"].get(name) != self.made_by[name]]
            if differ:
                raise ValueError(f"{', '.join(differ)} changed since it was written")
            for purpose, state in found["streams"].items():
                self.streams[purpose].set_state(state.cpu())
            self.started, state = time.monotonic() - found["seconds"], dict(found["state"])
        except Exception as error:  # torch documents no error for a file of another structure
            for purpose, stream in self.streams.items():
                stream.set_state(fresh[purpose])
            print(f"training starts anew, {self.file} cannot be used: {' '.join(str(error).split())}")
            return {}
        return state


def code_digest() -> str:
    """A digest of what runs are made of: the package without what only reads them, and the method notebooks' code without parameters."""
    package = ROOT / "sharedlabel"
    files = (file for file in sorted(package.rglob("*.py")) if file.relative_to(package).parts[0] not in ("inference", "analysis"))
    parts = [file.read_text() for file in files]
    for file in sorted((ROOT / "notebooks" / "methods").glob("*.ipynb")):
        cells = json.loads(file.read_text())["cells"]
        parts += ["".join(c["source"]) for c in cells if c["cell_type"] == "code" and "parameters" not in c["metadata"].get("tags", [])]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
