"""Which files of an export may leave for the Hub, and what a repository there may be called."""

import re
from collections.abc import Iterable

from workbench.core.errors import WorkbenchError
from workbench.core.export.exported import Upload

# Names that writers of models use and that hold nothing but the model, its tokenizer and its card. All others stay here.
_MAY_LEAVE = re.compile(
    r"README\.md|curves\.png|adapter_config\.json|reward\.json|config\.json|generation_config\.json|processor_config\.json"
    r"|(adapter_model|model)(-\d{5}-of-\d{5})?\.safetensors|model\.safetensors\.index\.json"
    r"|(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab)\.json|merges\.txt|chat_template\.jinja"
    r"|(tokenizer|sentencepiece\.bpe|spiece)\.model"
)
_PAGE = re.compile(r"(https?://)?(www\.)?huggingface\.co/")
_PART = r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?"
_REPO = re.compile(rf"({_PART}/)?{_PART}")


def upload_of(repo: str, private: bool, files: Iterable[tuple[str, int]]) -> Upload:
    """What of these files (name, size in bytes) would go to a repository. Raises WorkbenchError for a name that cannot be one."""
    named = sorted(files)
    go = tuple(one for one in named if _MAY_LEAVE.fullmatch(one[0]))
    return Upload(checked_repo(repo), private, go, tuple(name for name, size in named if (name, size) not in go))


def checked_repo(text: str) -> str:
    """The owner/name, or name alone, that a person typed or pasted. Raises WorkbenchError for what the Hub takes for none."""
    repo = text.strip()
    if page := _PAGE.match(repo):
        repo = repo[page.end() :].rstrip("/")
    if not repo:
        raise WorkbenchError("Repository is empty. Name it as owner/name, or as name for your own account.")
    refused = "--" in repo or ".." in repo or repo.endswith(".git") or any(len(part) > 96 for part in repo.split("/"))
    if refused or not _REPO.fullmatch(repo):
        raise WorkbenchError(
            f"Repository is {text.strip()[:120]!r}, which the Hub does not take. A name has the form owner/name or name, of letters, "
            "digits, -, _ and ., 96 at most, begins and ends with a letter or digit, has no -- or .. and does not end with .git."
        )
    return repo
