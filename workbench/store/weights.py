"""What safetensors files say of their weights, without loading them."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any, BinaryIO

_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
_BEGINNING = 65_536  # bytes of a tensor


def count_parameters(folder: Path) -> int | None:
    """Weights in all safetensors files of a folder; None where there is none that can be read.

    The header is a 64-bit length and that many bytes of JSON (the format's description, "safetensors" by Hugging Face).
    """
    try:
        counts = [_count(file) for file in folder.glob("*.safetensors")]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return sum(counts) or None


def fingerprint(folder: Path) -> str:
    """A digest of the weights in a folder: of the header and of the beginning of each tensor.

    Reading 16 GB for it would take a minute. Training changes all of a tensor, and so its beginning.
    """
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with open(file, "rb") as opened:
            header, start = _header(opened)
            for name, tensor in sorted(header.items()):
                if name == "__metadata__":
                    continue
                first, end = tensor["data_offsets"]
                digest.update(f"{name} {tensor['dtype']} {tensor['shape']}\n".encode())
                opened.seek(start + first)
                digest.update(opened.read(min(end - first, _BEGINNING)))
    return digest.hexdigest()


def _count(file: Path) -> int:
    with open(file, "rb") as opened:
        header, _ = _header(opened)
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _header(opened: BinaryIO) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and the byte at which its tensors begin."""
    length = int.from_bytes(opened.read(8), "little")
    return json.loads(opened.read(min(length, _LONGEST_HEADER))), 8 + length
