"""What a file is by its first bytes, where it is not what its name says."""

FIRST_BYTES = 256

_AGAIN = "Delete it and download the model again."


def disguise(begin: bytes) -> tuple[str, str] | None:
    """What a file is and what to do, by its first bytes; None where nothing is known of it."""
    if not begin:
        return "is empty", f"Its download broke off. {_AGAIN}"
    if begin.startswith(b"version https://git-lfs"):
        return (
            "is a pointer of Git LFS, not the file itself",
            "Run `git lfs install` and `git lfs pull` in the model's folder, or download the model again.",
        )
    if begin.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return (
            "is a web page, not the file itself",
            "The page about the file was saved in its place, or a page that asks for a login. Download the model again.",
        )
    if begin.startswith(b"PK\x03\x04") or (begin[:1] == b"\x80" and begin[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")):
        return (
            "is a PyTorch file under another name, a pickle, which can run code when it is opened",
            "Do not open it. Look for a version of the model with safetensors files.",
        )
    if begin.startswith(b"GGUF"):
        return (
            "is a GGUF file under another name, which cannot be trained",
            "Look for the original of the model, with safetensors files.",
        )
    return None
