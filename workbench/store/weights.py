"""What safetensors files say of their weights, without loading them."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.errors import WorkbenchError
from workbench.core.training.file_signatures import FIRST_BYTES, disguise

_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
_PIECE = 65_536  # bytes of a tensor

_AGAIN = "Delete it and download the model again."

# Bits of an entry. A type that is not known here is left to the library.
_BITS = {"F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8}
_BITS |= {"I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32}
_BITS |= {"I64": 64, "U64": 64, "F64": 64, "C64": 64}


@dataclass(frozen=True)
class Tensor:
    """An entry of a header. begin and end: where its bytes lie in the file."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_tensors(file: Path, title: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, from its header.

    The header is a 64-bit length and that many bytes of JSON (the format's description, "safetensors" by Hugging Face).
    title: of the model or the run that the file belongs to. Raises WorkbenchError, with what the file is instead, where it
    is none, and where it holds fewer bytes than its header says.
    """
    try:
        size = file.stat().st_size
        with open(file, "rb") as opened:
            begin = opened.read(FIRST_BYTES)
            length = int.from_bytes(begin[:8], "little")
            fits = len(begin) > 8 and begin[8:9] == b"{" and length <= min(_LONGEST_HEADER, size - 8)
            opened.seek(8)
            text = opened.read(length) if fits else b""
    except OSError as error:
        raise WorkbenchError(f"The file {file.name} of {title} cannot be read: {error.strerror or error}.") from None
    if not fits:
        raise _no_header(file.name, title, begin, length, size)
    try:
        header = json.loads(text)
        tensors = {name: _tensor(one, 8 + length) for name, one in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise WorkbenchError(
            f"The file {file.name} of {title} has a header that is damaged: it is no list of tensors with type, shape and "
            f"place. {_AGAIN}"
        ) from None
    held = sum(tensor.end - tensor.begin for tensor in tensors.values())
    wanted = max((tensor.end for tensor in tensors.values()), default=8 + length)
    if wanted != size:
        found = "its download broke off" if wanted > size else "something was added to it"
        raise WorkbenchError(
            f"The file {file.name} of {title} has {size:,} bytes, and its header describes {wanted:,}: {found}. {_AGAIN}"
        )
    if 8 + length + held != size:
        raise WorkbenchError(
            f"The file {file.name} of {title} has a header that is damaged: its tensors lie over one another. {_AGAIN}"
        )
    return tensors


def count_parameters(folder: Path) -> int | None:
    """Weights in all safetensors files of a folder; None where there is none that can be read."""
    try:
        files = [read_tensors(file, folder.name).values() for file in folder.glob("*.safetensors")]
    except WorkbenchError:
        return None
    return sum(math.prod(tensor.shape) for tensors in files for tensor in tensors) or None


def fingerprint(folder: Path) -> str:
    """A digest of the model in a folder: of its config, and of the header, beginning, middle and end of each tensor.

    Reading 16 GB for it would take a minute. Training changes all of a tensor, or the rows of new tokens at its end.
    """
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for file in sorted(folder.glob("*.safetensors")):
        with open(file, "rb") as opened:
            for name, tensor in sorted(read_tensors(file, folder.name).items()):
                digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
                size = tensor.end - tensor.begin
                for place in (0, size // 2, max(0, size - _PIECE)):
                    opened.seek(tensor.begin + place)
                    digest.update(opened.read(min(size - place, _PIECE)))
    return digest.hexdigest()


def _tensor(entry: Mapping[str, Any], start: int) -> Tensor:
    """An entry of the header, checked. start: the byte at which the tensors begin. Raises ValueError and its like."""
    dtype, shape, (first, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    numbers = [*shape, first, end]
    if not isinstance(dtype, str) or not all(type(number) is int and 0 <= number < 2**63 for number in numbers):
        raise ValueError
    if end < first or (dtype in _BITS and (end - first) * 8 != math.prod(shape) * _BITS[dtype]):
        raise ValueError
    return Tensor(dtype, tuple(shape), start + first, start + end)


def _no_header(name: str, title: str, begin: bytes, length: int, size: int) -> WorkbenchError:
    known = disguise(begin)
    if known:
        return WorkbenchError(f"The file {name} of {title} {known[0]}. {known[1]}")
    if begin[8:9] == b"{" and length <= _LONGEST_HEADER:
        return WorkbenchError(
            f"The file {name} of {title} has {size:,} bytes, and its header alone should have {length:,}: its download broke "
            f"off. {_AGAIN}"
        )
    return WorkbenchError(
        f"The file {name} of {title} is not a safetensors file: it does not begin with a header of that format. {_AGAIN}"
    )
