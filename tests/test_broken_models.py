"""Models and adapters that are damaged, false or hostile: each is refused in words that name the file, before a library opens it."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from workbench.core.errors import WorkbenchError
from workbench.core.training.config import ModelRef
from workbench.core.training.model_files import check_config, check_vocabulary
from workbench.engine import chat, lines, load
from workbench.engine.load import fetch, load_tokenizer
from workbench.engine.templates import check_template
from workbench.store.adapter_files import check_adapter
from workbench.store.model_configs import config_of, preset_configs
from workbench.store.weights import count_parameters, read_tensors

DEMO = load._demo()
WEIGHTS = (DEMO / "model.safetensors").read_bytes()
HEADER = int.from_bytes(WEIGHTS[:8], "little")
TENSORS = json.loads(WEIGHTS[8 : 8 + HEADER])
INDEX = "model.safetensors.index.json"
CONFIG = json.loads((DEMO / "config.json").read_text())

Break = Callable[[Path], object]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with the files of the demo model, of which each may be replaced."""
    folder = tmp_path / "broken"
    folder.mkdir()
    for file in DEMO.iterdir():
        os.link(file, folder / file.name) if file.stat().st_dev == folder.stat().st_dev else shutil.copy(file, folder)
    return folder


def put(name: str, content: bytes | str | dict | list) -> Break:
    """Replace a file of the model."""

    def broken(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_bytes(
            content
            if isinstance(content, bytes)
            else (content if isinstance(content, str) else json.dumps(content)).encode()
        )

    return broken


def without(*names: str) -> Break:
    return lambda folder: [(folder / name).unlink() for name in names]


def size(**changes) -> Break:
    return put("config.json", CONFIG | changes)


def header(tensors: dict, data: bytes = b"") -> bytes:
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text + data


def sharded(index: object, *files: str) -> Break:
    """The weights in parts, of which those named are there."""

    def broken(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "whole")
        for file in files:
            shutil.copy(folder / "whole", folder / file)
        (folder / "whole").unlink()
        (folder / INDEX).write_text(json.dumps(index))

    return broken


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 7678400\n"
PAGE = b"<!DOCTYPE html>\n<html><body>Log in to see this file</body></html>"
PICKLE = b"\x80\x02}q\x00." + bytes(100)
ZIP = b"PK\x03\x04" + bytes(100)
PART = "model-00001-of-00002.safetensors"

BROKEN: dict[str, tuple[Break, str]] = {
    # config.json
    "hidden size negative": (size(hidden_size=-1), r"hidden_size is -1, and must be a whole number from 1 to 1,000,000"),
    "hidden size absurd": (size(hidden_size=10**12), r"hidden_size is 1,000,000,000,000"),
    "hidden size of thousands of digits": (put("config.json", '{"model_type": "llama", "hidden_size": 1' + "0" * 5000 + "}"), "config.json of .* cannot be read as JSON"),
    "hidden size a fraction": (size(hidden_size=256.5), "hidden_size is 256.5"),
    "vocabulary in words": (size(vocab_size="many"), "vocab_size is 'many'"),
    "no heads": (size(num_attention_heads=0), "num_attention_heads is 0"),
    "heads that do not divide": (size(num_attention_heads=7, head_dim=None, num_key_value_heads=7), "hidden_size 256 cannot be shared equally by num_attention_heads 7"),
    "keys that do not divide": (size(num_key_value_heads=3), "num_attention_heads 4 cannot share num_key_value_heads 3"),
    "no layers": (size(num_hidden_layers=0), "num_hidden_layers is 0"),
    "a billion layers": (size(num_hidden_layers=10**9), "num_hidden_layers is 1,000,000,000"),
    "layers true": (size(num_hidden_layers=True), "num_hidden_layers is True"),
    "in the part for text": (size(text_config={"vocab_size": -5}), "text_config.vocab_size is -5"),
    "config empty": (put("config.json", b""), "config.json of .* is empty"),
    "config a page": (put("config.json", PAGE), "config.json of .* is a web page"),
    "config a list": (put("config.json", "[1]"), "config.json of .* holds a list"),
    "config cut": (put("config.json", '{"model_type": "llama",'), r"config.json of .* cannot be read as JSON \(.*line 1"),
    "config too deep": (put("config.json", "[" * 100_000), "config.json of .* cannot be read as JSON"),
    # tokenizer
    "tokenizer cut": (put("tokenizer.json", (DEMO / "tokenizer.json").read_bytes()[:40_000]), r"tokenizer.json of .* cannot be read as JSON \("),
    "tokenizer empty": (put("tokenizer.json", b""), "tokenizer.json of .* is empty.*download broke off"),
    "tokenizer no JSON": (put("tokenizer.json", b"hello"), "tokenizer.json of .* cannot be read as JSON"),
    "tokenizer a list": (put("tokenizer.json", b"[]"), "tokenizer.json of .* holds a list"),
    "tokenizer a pointer": (put("tokenizer.json", LFS), "tokenizer.json of .* is a pointer of Git LFS.*git lfs pull"),
    "tokenizer a page": (put("tokenizer.json", PAGE), "tokenizer.json of .* is a web page"),
    "no tokenizer": (without("tokenizer.json"), "has no tokenizer .*Download the model again"),
    "settings of the tokenizer damaged": (put("tokenizer_config.json", "{"), "tokenizer_config.json of .* cannot be read as JSON"),
    "settings of generation damaged": (put("generation_config.json", "no"), "generation_config.json of .* cannot be read as JSON"),
    "template a number": (lambda folder: [put("tokenizer_config.json", {"chat_template": 5})(folder), without("chat_template.jinja")(folder)], "chat_template that is no text"),
    "template not text": (put("chat_template.jinja", b"\xff\xfe\x00"), "chat_template.jinja of .* cannot be read as text"),
    # safetensors
    "weights empty": (put("model.safetensors", b""), "model.safetensors of .* is empty"),
    "weights a pointer": (put("model.safetensors", LFS), "model.safetensors of .* is a pointer of Git LFS"),
    "weights a page": (put("model.safetensors", PAGE), "model.safetensors of .* is a web page"),
    "weights a pickle": (put("model.safetensors", PICKLE), "a pickle, which can run code"),
    "weights a zip": (put("model.safetensors", ZIP), "a pickle, which can run code"),
    "weights GGUF": (put("model.safetensors", b"GGUF" + bytes(64)), "is a GGUF file under another name"),
    "weights of five bytes": (put("model.safetensors", b"12345"), "is not a safetensors file"),
    "weights random": (put("model.safetensors", bytes(range(200))), "is not a safetensors file"),
    "header beyond the file": (put("model.safetensors", WEIGHTS[:1000]), rf"has 1,000 bytes, and its header alone should have {HEADER:,}: its download broke off"),
    "header of an exabyte": (put("model.safetensors", (2**60).to_bytes(8, "little") + b"{}"), "is not a safetensors file"),
    "header no JSON": (put("model.safetensors", (8).to_bytes(8, "little") + b"{1234567"), "header that is damaged"),
    "header a text": (put("model.safetensors", header({"a": "b"})), "header that is damaged"),
    "shape negative": (put("model.safetensors", header({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4))), "header that is damaged"),
    "shape beyond its bytes": (put("model.safetensors", header({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}}, bytes(4))), "header that is damaged"),
    "tensors over one another": (put("model.safetensors", header({key: {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} for key in "ab"}, bytes(4))), "lie over one another"),
    "weights cut": (put("model.safetensors", WEIGHTS[:-100]), rf"has {len(WEIGHTS) - 100:,} bytes, and its header describes {len(WEIGHTS):,}: its download broke off"),
    "weights with more behind": (put("model.safetensors", WEIGHTS + b"x"), "something was added to it"),
    "no index": (lambda folder: (folder / "model.safetensors").rename(folder / PART), rf"neither model.safetensors nor .* \(found: {PART}\)"),
    "index damaged": (sharded([1], PART), "index.json of .* holds a list"),
    "index without a map": (sharded({}, PART), "has no weight_map"),
    "index outside": (sharded({"weight_map": {"a": "../../secret.safetensors"}}, PART), r"names '../../secret.safetensors', which is no safetensors file beside it"),
    "index to a pickle": (sharded({"weight_map": {"a": "pytorch_model.bin"}}, PART), "which is no safetensors file beside it"),
    "parts missing": (sharded({"weight_map": {"a": PART, "b": "model-00002-of-00002.safetensors"}}, PART), r"1 of 2 files with weights are missing \(model-00002-of-00002.safetensors\)"),
    "tensors missing": (sharded({"weight_map": {"a": PART}}, PART), f"says that a is in {PART}, and it is not"),
    # weights against the config
    "another vocabulary": (size(vocab_size=2048), r"embed_tokens.weight is 1,536 x 256, and vocab_size 2,048 with hidden_size 256 wants 2,048 x 256"),
    "another width": (size(intermediate_size=512), r"gate_proj.weight is 640 x 256, and the sizes in config.json want 512 x 256"),
    "more layers than weights": (size(num_hidden_layers=9), "q_proj is missing in 4 of 9 layers"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_is_named_with_its_file_and_what_to_do(model, name):
    broken, words = BROKEN[name]
    broken(model)
    with pytest.raises(WorkbenchError, match=words) as refused:
        fetch(ModelRef(source="folder", name=str(model)), print)
    said = str(refused.value)
    assert "does not know" not in said and "Traceback" not in said and len(said) < 700


def test_a_model_that_is_whole_passes_in_one_file_and_in_parts(model):
    """The header of the demo model: 4 x 1,536 x 256 and so on, whose tensors fill the file to its last byte."""
    ref = ModelRef(source="folder", name=str(model))
    assert fetch(ref, print) == model
    names = [name for name in TENSORS if name != "__metadata__"]
    sharded({"weight_map": dict.fromkeys(names, PART)}, PART)(model)
    assert fetch(ref, print) == model
    assert read_tensors(model / PART, "x").keys() == set(names)


def test_sizes_of_published_models_are_none_to_refuse():
    """Those in presets/, and architectures with sizes for each layer, a part for text, or heads of their own size."""
    others = [
        {"model_type": "openelm", "num_key_value_heads": [3, 4], "hidden_size": 1280},
        {"model_type": "gemma3", "text_config": {"hidden_size": 2560, "num_attention_heads": 8, "head_dim": 256}},
        {"model_type": "minicpm3", "hidden_size": 2570, "num_attention_heads": 40, "qk_rope_head_dim": 32},
        {"model_type": "gpt2", "n_embd": 768},
        {"model_type": "llama4_text", "max_position_embeddings": 10_485_760, "num_key_value_heads": None},
    ]
    for config in [*preset_configs().values(), *others]:
        check_config(config, "owner/model")


def test_a_plan_refuses_absurd_sizes_as_loading_does(model):
    size(hidden_size=10**12)(model)
    with pytest.raises(WorkbenchError, match="hidden_size is 1,000,000,000,000"):
        config_of(ModelRef(source="folder", name=str(model)))


def test_a_tokenizer_that_the_library_cannot_load_is_named(model):
    """The whole file is JSON that begins and ends as it should, so only loading shows it."""
    put("tokenizer.json", {"model": {"type": "BPE", "vocab": "none"}})(model)
    with pytest.raises(WorkbenchError, match="tokenizer.json of owner/model has no added_tokens"):
        load_tokenizer(model, "owner/model")
    put("tokenizer.json", {"model": {"type": "BPE", "vocab": "none"}, "added_tokens": []})(model)
    with pytest.raises(
        WorkbenchError, match="tokenizer of owner/model could not be loaded: .*then download the model again"
    ):
        load_tokenizer(model, "owner/model")


def test_a_tokenizer_of_another_model_is_refused(model):
    """1,536 tokens, and embeddings for 1,000; then one special token that is beyond them."""
    size(vocab_size=1000)(model)
    with pytest.raises(WorkbenchError, match="knows 1,536 tokens, and the model has embeddings for 1,000"):
        load_tokenizer(model, "owner/model")
    sizes = {"text_config": {"vocab_size": 1536}}
    check_vocabulary(1530, {0: "<pad>", 1535: "<|end|>"}, sizes, "owner/model")
    with pytest.raises(
        WorkbenchError, match=r"special tokens that the model has no embedding for: <\|end\|> \(id 1,536\)"
    ):
        check_vocabulary(1530, {0: "<pad>", 1536: "<|end|>"}, sizes, "owner/model")


def test_what_nobody_knows_of_a_model_for_the_chat_is_in_the_log_of_the_chat(monkeypatch, home):
    """While loading for the chat there is no run, and no worker.log."""
    said = []
    monkeypatch.setattr(lines, "speaker", lambda: said.append)
    for error, words in ((KeyError("x"), f"chat.log in {home}"), (MemoryError(), "no memory left for this model")):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(chat, "load_base", fail)
        assert chat.main(json.dumps({"model": ModelRef().model_dump(), "precision": "auto"})) == 1
        (problem,) = said[-1]["problems"]
        assert said[-1]["event"] == "error" and words in problem and "worker.log" not in problem


# Chat templates

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LOOPS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
TEMPLATES = {
    "gigabytes": ("{{ 'a' * 5000000000 }}", "needed more than 512 MB of memory"),
    "gigabytes for somebody else": ("{% if 'Robin' in messages[0]['content'] %}{{ 'a' * 5000000000 }}{% endif %}" + CHATML, "needed more than 512 MB of memory"),
    "loops in loops": (LOOPS, "took longer than 2 seconds"),
    "a long text": ("{{ 'a' * 2000000 }}", "makes 2,000,000 characters of a conversation of a few words"),
    "what is forbidden": ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "uses what no chat template may use: access to attribute '__class__'"),
    "a change of the messages": ("{{ messages.append(1) }}", "uses what no chat template may use: access to attribute 'append'"),
    "no template": ("{{ messages", r"is no template that can be read: .*\(line 1\)"),
    "a function that is not there": ("{{ os.popen('id') }}", "cannot write a question of three words: 'os' is undefined"),
    "no questions": ("{{ raise_exception('Never') }}", "cannot write a question of three words: Never"),
}  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_hostile_template_is_named_before_the_model_is_loaded(model, name):
    template, words = TEMPLATES[name]
    put("chat_template.jinja", template)(model)
    with pytest.raises(WorkbenchError, match=rf"chat template of .*broken \(chat_template.jinja\) {words}"):
        fetch(ModelRef(source="folder", name=str(model)), print, with_weights=False)


def test_the_template_in_the_tokenizers_settings_is_tried_where_there_is_no_other(model):
    settings = json.loads((DEMO / "tokenizer_config.json").read_text())
    (model / "chat_template.jinja").unlink()
    never = "{{ raise_exception('Never') }}"
    for written in (never, [{"name": "tool_use", "template": CHATML}, {"name": "default", "template": never}]):
        put("tokenizer_config.json", settings | {"chat_template": written})(model)
        with pytest.raises(
            WorkbenchError, match=r"\(tokenizer_config.json\) cannot write a question of three words: Never"
        ):
            fetch(ModelRef(source="folder", name=str(model)), print)


def test_a_template_that_is_well_is_tried_once(monkeypatch):
    """One that refuses a system message, as Gemma's does, is well. The second time nothing is started."""
    from workbench.engine import templates

    check_template(NO_SYSTEM + CHATML, "chat_template.jinja", "owner/model", {})
    monkeypatch.setattr(templates.subprocess, "Popen", lambda *_, **__: pytest.fail("it was tried before"))
    check_template(NO_SYSTEM + CHATML, "chat_template.jinja", "owner/model", {"bos_token": "<s>"})


def test_a_template_is_tried_in_the_sandbox_of_transformers():
    """The same texts from both: Jinja's own parts make what Transformers makes of them."""
    from transformers.utils.chat_template_utils import render_jinja_template

    from workbench.engine.render import environment

    parts = [
        "{% for m in messages %}\n  {% if loop.index > 1 %}{% break %}{% endif %}{{ m.content }}\n{% endfor %}",
        "{% for m in messages %}{% if m.role != 'user' %}{% generation %}{{ m.content }}{% endgeneration %}{% endif %}{% endfor %}",
        "{{ messages | tojson(indent=2) }}{{ {'z': '<ö>', 'a': 1} | tojson(sort_keys=true) }}",
        "{{ strftime_now('%Y') }}{{ tools is none }}{{ documents is none }}{{ bos_token }}{{ undefined_name }}",
        "{% if tools %}x{% endif %}{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
        CHATML,
    ]
    messages = [{"role": "user", "content": "<What> is ö?"}, {"role": "assistant", "content": "A letter."}]
    for part in parts:
        given = {"add_generation_prompt": True, "bos_token": "<s>"}
        theirs, _ = render_jinja_template([messages], chat_template=part, **given)
        assert (
            environment().from_string(part).render(messages=messages, tools=None, documents=None, **given) == theirs[0]
        )


# Adapters


def lora(rank: int = 2) -> dict:
    entries = {"base.q_proj.lora_A.weight": [rank, 3], "base.q_proj.lora_B.weight": [3, rank]}
    tensors, place = {}, 0
    for name, shape in entries.items():
        end = place + 4 * shape[0] * shape[1]
        tensors[name] = {"dtype": "F32", "shape": shape, "data_offsets": [place, end]}
        place = end
    return tensors


SETTINGS = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
ADAPTERS: dict[str, tuple[Break, str]] = {
    "no settings": (without("adapter_config.json"), "The adapter of a-run has no adapter_config.json"),
    "no weights": (without("adapter_model.safetensors"), "has no adapter_model.safetensors"),
    "settings damaged": (put("adapter_config.json", "{"), "adapter_config.json of the adapter of a-run cannot be read as JSON"),
    "settings of code": (put("adapter_config.json", SETTINGS | {"megatron_config": {"a": 1}}), "names program code to run"),
    "rank negative": (put("adapter_config.json", SETTINGS | {"r": -2}), "r is '-2'"),
    "another kind": (put("adapter_config.json", {"peft_type": "PREFIX_TUNING", "r": 2}), "peft_type is 'PREFIX_TUNING'"),
    "another rank": (put("adapter_config.json", SETTINGS | {"r": 4}), "says rank 4: base.q_proj.lora_A.weight is .2, 3."),
    "weights a pickle": (put("adapter_model.safetensors", PICKLE), "a pickle, which can run code"),
    "weights cut": (put("adapter_model.safetensors", header(lora(), bytes(40))), "its download broke off"),
    "nothing in it": (put("adapter_model.safetensors", header({})), "it holds no tensor"),
}  # fmt: skip


@pytest.mark.parametrize("name", [None, *ADAPTERS])
def test_a_broken_adapter_is_named_with_its_file(tmp_path, name):
    put("adapter_config.json", SETTINGS)(tmp_path)
    put("adapter_model.safetensors", header(lora(), bytes(48)))(tmp_path)
    if name is None:
        return check_adapter(tmp_path, "the adapter of a-run")
    broken, words = ADAPTERS[name]
    broken(tmp_path)
    with pytest.raises(WorkbenchError, match=words):
        check_adapter(tmp_path, "the adapter of a-run")


def test_weights_are_counted_as_their_header_says(model):
    """Embeddings of 1,536 x 256 are tied; each of 5 layers has 2 x 65,536 + 2 x 32,768 + 3 x 163,840 + 512; a last norm."""
    assert count_parameters(model) == 1536 * 256 + 5 * (2 * 65_536 + 2 * 32_768 + 3 * 163_840 + 512) + 256
