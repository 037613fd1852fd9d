"""Going on with training that was stopped: where it stands is written down beside the record that the run will have.

A run of minutes is simply repeated. One of hours (a WideResNet-20 on a CPU) starts again after its last epoch written, and, on the
machine that it began on, ends in the same bytes as if nothing had happened.
"""
import hashlib
import io
import sys
import time
from pathlib import Path

import torch

from sharedlabel import ROOT, data, records

EVERY = 60.0  # seconds of training between two writings


class Resumable:
    """What a run has to remember to be gone on with: its random streams and its time here, what it learned by `save` and `load`.

    record: where the run's record will lie; what is remembered lies beside it (`records.unfinished`) until that is written. Nothing is
    gone on with where there is a record already (the run is being repeated), or where the code that it is made of, torch or the kind of
    device have changed since: then training starts anew.
    """

    def __init__(self, record: Path, device: torch.device):
        self.file, self.device = records.unfinished(record), device
        self.started = self.written = time.time()
        self.streams: dict[str, torch.Generator] = {}
        self.made_by = {"code": code(), "torch": str(torch.__version__), "device": device.type}
        if record.exists():
            self.file.unlink(missing_ok=True)

    def seconds(self) -> float:
        """How long the run has taken, over all its starts; what a start did after its last writing is not in it."""
        return time.time() - self.started

    def stream(self, seed: int, purpose: str) -> torch.Generator:
        """`data.stream`, for what training draws from."""
        self.streams[purpose] = data.stream(seed, purpose)
        return self.streams[purpose]

    def save(self, **state) -> None:
        """Write down how far training has come (tensors, numbers, text, in lists and dicts), unless it was done a moment ago."""
        if time.time() - self.written < EVERY:
            return
        streams = {purpose: generator.get_state() for purpose, generator in self.streams.items()}
        content = io.BytesIO()
        torch.save({"made_by": self.made_by, "streams": streams, "seconds": self.seconds(), "state": state}, content)
        records.write(self.file, content.getvalue())
        self.written = time.time()

    def load(self) -> dict:
        """What the last `save` was given, streams and time being put back, too; {} where there is nothing to go on with.

        ValueError on a damaged file.
        """
        if not self.file.exists():
            return {}
        try:
            found = torch.load(self.file, map_location=self.device, weights_only=True)  # which runs no code
        except Exception as error:  # torch documents none
            raise ValueError(f"{self.file} is damaged ({type(error).__name__}); delete it, and the run starts anew") from error
        if found["made_by"] != self.made_by:
            print("the code, torch or the device has changed since training was stopped: it starts anew")
            return {}
        for purpose, state in found["streams"].items():
            self.streams[purpose].set_state(state.cpu())
        self.started -= found["seconds"]
        return found["state"]


def code() -> str:
    """A digest of what a run is made of: the package's modules that are in use, and the method notebooks."""
    modules = [Path(module.__file__) for name, module in sys.modules.items() if name.partition(".")[0] == "sharedlabel"]
    files = sorted({*modules, *(ROOT / "notebooks" / "methods").glob("*.ipynb")})
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
