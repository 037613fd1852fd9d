"""Files that appear whole or not at all."""
import os
from pathlib import Path


def write_atomically(file: Path, content: bytes) -> None:
    """The file, whole or not at all; its folder is made."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.part")
    part.write_bytes(content)
    os.replace(part, file)
