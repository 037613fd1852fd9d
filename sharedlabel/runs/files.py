"""Files that are whole or absent, whatever happens to the process or the machine while they are written."""
import contextlib
import glob
import json
import os
import platform
import time
from pathlib import Path

import psutil

from sharedlabel.runs.errors import ParameterError

STALE_SECONDS = 24 * 3600  # of a partial file that a process on another host left; no write takes as long


def check_writable(folder: Path) -> None:
    """ParameterError where records cannot go to a folder, be it there already or still to be made: better now than after a training."""
    nearest = next(each for each in (folder, *folder.parents) if os.path.exists(each))  # Path's raises below a folder closed to us
    if not os.path.isdir(nearest) or not os.access(nearest, os.W_OK):
        reason = "may not be written to" if os.path.isdir(nearest) else "is not a folder"
        raise ParameterError(f"results: {folder} cannot take records, as {nearest} {reason}")


def write_atomically(contents: dict[Path, bytes]) -> None:
    """Write each file, its folder too: write all beside where they go, flush to the disk, rename in the order given.

    OSError leaves no partial file behind. Who is killed between two renames leaves the first file new and the second as it was.
    """
    parts = {file.with_name(f"{file.name}.{platform.node()}.{os.getpid()}.part"): file for file in contents}
    try:
        for part, file in parts.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            remove_stale_parts(file)
            part.unlink(missing_ok=True)  # whose it was is no more, or it is a link that somebody laid
            with part.open("xb") as stream:
                stream.write(contents[file])
                stream.flush()
                os.fsync(stream.fileno())
        for part, file in parts.items():
            os.replace(part, file)
    except BaseException:
        for part in parts:
            part.unlink(missing_ok=True)
        raise


def remove_stale_parts(file: Path) -> None:
    """Delete the partial files of `file` that a killed process left: one of this host that no longer runs, or any from long ago."""
    for part in file.parent.glob(f"{glob.escape(file.name)}.*.part"):
        host, _, pid = part.name.removeprefix(f"{file.name}.").removesuffix(".part").rpartition(".")
        with contextlib.suppress(OSError, ValueError):  # another process removed it, or it is not ours
            dead = host == platform.node() and not psutil.pid_exists(int(pid))
            if dead or time.time() - part.stat().st_mtime > STALE_SECONDS:
                part.unlink()


def read_record(file: Path) -> dict:
    """A run's record; ValueError, which names the file, where it is damaged."""
    try:
        record = json.loads(file.read_text())
        record["params"]["method"], record["status"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is not a whole record ({error!r}); delete it, and it is made again") from error
    return record
