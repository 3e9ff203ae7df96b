"""Text files by the line, and what is said of text that is not UTF-8."""

import codecs
from collections.abc import Iterator

from workbench.core.errors import WorkbenchError
from workbench.core.masking import masked
from workbench.store.files.limits import too_long
from workbench.store.files.unpack import Unpacked

BOM = "\ufeff"


def text_lines(stream: Unpacked) -> Iterator[tuple[int, str]]:
    """(number from 1, line with its end). Raises WorkbenchError for a line that is too long or no UTF-8."""
    number = 0
    while line := stream.line():
        number += 1
        if len(line) > stream.limits.row_bytes:
            raise too_long(f"Line {number}", stream.name, stream.limits)
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise not_utf8(stream.name, line, error, stream.position - len(line)) from None
        yield number, text.removeprefix(BOM) if number == 1 else text


def text_pieces(stream: Unpacked) -> Iterator[str]:
    """The whole text, in pieces that are cut anywhere between two characters."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    rest, is_first, ended = b"", True, False
    while not ended:
        data = stream.piece()
        ended = not data
        try:
            text = decoder.decode(data, final=ended)
        except UnicodeDecodeError as error:
            raise not_utf8(stream.name, rest + data, error, stream.position - len(rest) - len(data)) from None
        rest = decoder.getstate()[0]
        yield text.removeprefix(BOM) if is_first else text
        is_first = False


def not_utf8(name: str, data: bytes, error: UnicodeDecodeError, offset: int) -> WorkbenchError:
    """data: the bytes with the fault. offset: where in the file they begin."""
    if error.end == len(data) and error.reason == "unexpected end of data":
        return WorkbenchError(
            f"{name} ends in the middle of a character: it was cut short, or it is not UTF-8. Copy or download it again."
        )
    likely = likely_encoding(data)
    found = excerpt(data[max(0, error.start - 20) : error.start + 20], encoding=_CODECS.get(likely, "utf-8"))
    return WorkbenchError(
        f"{name} is not UTF-8: byte {offset + error.start:,} is 0x{data[error.start]:02x}, in {found}. It is most "
        f'likely {likely}. Save it as UTF-8 (in Excel: "CSV UTF-8"; in an editor: Save with encoding).'
    )


def likely_encoding(data: bytes) -> str:
    """A guess for people. In texts of Latin letters few letters are beyond ASCII; in other alphabets most are."""
    sample = data[:20_000]
    beyond = sum(byte >= 0x80 for byte in sample)
    letters = beyond + sum(chr(byte).isalpha() for byte in sample if byte < 0x80)
    if 2 * beyond > letters:
        return "an older encoding of another alphabet, such as GBK, Shift-JIS or Windows-1251"
    # Between 0x80 and 0x9f Latin-1 has no letters or signs, and Windows-1252 has the curly quotes, dashes and the euro.
    return "Windows-1252" if any(0x80 <= byte <= 0x9F for byte in sample) else "Windows-1252 or Latin-1"


def excerpt(text: str | bytes, most: int = 60, encoding: str = "utf-8") -> str:
    """The beginning of a text, quoted so that nothing in it can be taken for the message around it."""
    text = text[: 4 * most].decode(encoding, "replace") if isinstance(text, bytes) else text[: 4 * most]
    text = masked(text.strip())  # before it is cut: half a token has no shape
    return repr(text if len(text) <= most else f"{text[:most]}...")


_CODECS = {"Windows-1252": "cp1252", "Windows-1252 or Latin-1": "cp1252"}
