"""A run as GGUF: converted by the converter that is there, read back and compared, and found out where it is not the run."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest
from gguf_here import converter_or_skip, has_llama_cpp
from random_models import random_qwen3

from workbench.core.errors import WorkbenchError
from workbench.core.export.exported import ASKED
from workbench.core.export.targets import ExportOptions
from workbench.engine import gguf as converting
from workbench.engine import gguf_asked, gguf_check
from workbench.jobs import export_gguf, exports
from workbench.store.gguf_converter import Converter

QUESTIONS = (
    "What is snow?",
    "Tell me about the sea.",
    "Count from one to five.",
    "I've 3 boats, haven't I?\n\n  Yes: 1234!",
)
PROMPTS = [[{"role": "user", "content": text}] for text in QUESTIONS]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
QWENS_RULE = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def silent(*_):
    pass


@pytest.fixture(scope="module")
def converter() -> Converter:
    found = converter_or_skip()
    # llama.cpp's folder has a gguf of its own, which has to be the one of this process.
    converting._import_converter(str(found.root))
    return found


needs_llama_cpp = pytest.mark.skipif(
    not has_llama_cpp(), reason="llama-cpp-python is not installed, or its library does not load"
)


def qwen3(folder: Path) -> Path:
    """A Qwen3 of random weights in bf16, with grouped heads, and a small vocabulary that cuts text by Qwen's rule."""
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    random_qwen3(folder, hidden=256)
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWENS_RULE), "isolated"), byte_level])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        QUESTIONS * 3, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    )
    made.add_special_tokens(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": tokenizer.eos_token_id}))
    return folder


def failed(checks) -> list[str]:
    return [check.what for check in checks if check.ok is False]


@pytest.fixture(scope="module")
def converted(converter, tmp_path_factory):
    """The folder of a Qwen3 and its GGUF in half precision, converted in a child process, with all that was found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        model, out = qwen3(tmp_path_factory.mktemp("qwen3")), tmp_path_factory.mktemp("out")
        found = export_gguf.model_as_gguf("tiny", model, ExportOptions(quantization="f16"), out, silent, PROMPTS)
    return model, out / "tiny-f16.gguf", *found


def test_a_qwen3_of_its_own_vocabulary_is_converted_and_every_tensor_is_its_own(converted):
    model, file, checks, notes = converted
    assert failed(checks) == []
    said = {check.what: check.found for check in checks}
    assert said["Tensors"] == "25 of 25 by name and shape"
    assert said["Weights"].startswith("25 of 25 are the merged model's, rounded to half precision (F16, F32)")
    assert said["Chat template"] == "the very one of training"
    assert said["Ollama's template"] == "writes 6 conversations as the one of training does"
    assert any("llama.cpp calls qwen2" in note for note in notes), "its vocabulary is on nobody's list"
    written = (file.parent / "Modelfile").read_text()
    assert written.startswith("FROM ./tiny-f16.gguf\n\nTEMPLATE") and 'PARAMETER stop "<|im_end|>"' in written
    assert str(model).encode() not in file.read_bytes()


def found_of_changed(model: Path, file: Path, copy: Path, change) -> list[str]:
    """What is found to differ once a copy of a GGUF was changed in its place."""
    gguf = pytest.importorskip("gguf")
    shutil.copy2(file, copy)
    reader = gguf.GGUFReader(str(copy), "r+")
    change(reader)
    reader.data.flush()
    return failed(gguf_check.model_checks(copy, model, "f16", False))


def test_what_is_not_the_models_is_found(converted, tmp_path):
    """One weight of a hundred thousand, one sign of a token or of the template, one number of the settings."""
    model, file, *_ = converted

    def found(change) -> list[str]:
        return found_of_changed(model, file, tmp_path / "copy.gguf", change)

    def one_weight(reader):
        tensor = next(one for one in reader.tensors if one.name == "blk.1.ffn_up.weight")
        tensor.data[3, 5] += 0.01

    def queries_and_keys(reader):
        first, second = (one for one in reader.tensors if one.name in ("blk.0.attn_k.weight", "blk.1.attn_k.weight"))
        kept = first.data.copy()
        first.data[:], second.data[:] = second.data, kept

    def one_sign(name):
        def change(reader):
            field = reader.fields[name]
            part = field.parts[field.data[-1]]
            part[-1] = ord("?")

        return change

    def number(name, value):
        def change(reader):
            field = reader.fields[name]
            field.parts[field.data[0]][0] = value

        return change

    assert found(lambda reader: None) == []
    assert found(one_weight) == ["Weights"]
    assert found(queries_and_keys) == ["Weights"]
    assert found(one_sign("tokenizer.chat_template")) == ["Chat template"]
    assert found(one_sign("tokenizer.ggml.merges")) == ["Merges"]
    assert found(number("tokenizer.ggml.eos_token_id", 5)) == ["Special tokens"]
    assert found(number("tokenizer.ggml.add_bos_token", 1)) == ["Special tokens"], (
        "the template of training writes none"
    )
    assert found(number("qwen3.rope.freq_base", 12345.0)) == ["Settings"]
    assert found(number("general.file_type", 7)) == ["Kind"]


def test_quantised_weights_are_held_to_the_step_of_their_type():
    numpy, gguf = pytest.importorskip("numpy"), pytest.importorskip("gguf")
    kind = gguf.GGMLQuantizationType
    weights = numpy.random.default_rng(3).normal(size=(16, 256)).astype(numpy.float32)
    read = gguf.quants.dequantize(gguf.quants.quantize(weights, kind.Q8_0), kind.Q8_0)
    ok, off = gguf_check._close(gguf, kind.Q8_0, read, weights)
    assert ok and 0.002 < off < 0.01
    read[2, 7] += 2 * numpy.abs(weights[2, :32]).max() / 127
    assert not gguf_check._close(gguf, kind.Q8_0, read, weights)[0]
    assert gguf_check._close(gguf, kind.F16, weights.astype(numpy.float16).astype(numpy.float32), weights)[0]
    assert not gguf_check._close(gguf, kind.F16, weights, weights)[0], "it is not rounded"
    assert gguf_check._close(gguf, kind.Q4_K, weights * 1.05, weights)[0]
    assert not gguf_check._close(gguf, kind.Q4_K, weights * 1.2, weights)[0]
    assert not gguf_check._close(gguf, kind.IQ2_S, weights, weights * 1.01)[0], "a type of which no error is known"


def test_a_run_of_the_demo_becomes_a_gguf_with_a_modelfile(first_run, converter, tmp_path, one_base, in_this_process):
    """Llama, whose rows of queries and keys the converter turns, in 8 bits, by the job as the command runs it."""
    out = tmp_path / "out"
    found = exports.export("first", "gguf", out, ExportOptions(quantization="q8_0"), silent)
    assert failed(found.checked) == []
    assert found.files == ("Modelfile", "first-q8_0.gguf")
    assert any("llama.cpp calls gpt-2" in note for note in found.notes)
    content = (out / "first-q8_0.gguf").read_bytes()
    for hidden in (str(tmp_path), str(Path.home()) + "/", "optimizer"):
        assert hidden.encode() not in content
    assert [one.engine for one in found.serving] == ["llama-server", "Ollama"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["home", "out"]


def test_a_tokenizer_whose_rule_nobody_knows_is_refused(converter, converted, tmp_path):
    model = Path(shutil.copytree(converted[0], tmp_path / "model"))
    written = json.loads((model / "tokenizer.json").read_text())
    written["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}]}  # fmt: skip
    (model / "tokenizer.json").write_text(json.dumps(written))
    with pytest.raises(WorkbenchError, match="none of the rules that the workbench knows llama.cpp to have"):
        converting.convert(silent, str(converter.root), str(model), str(tmp_path / "a.gguf"), "f16", "a", False)
    assert not (tmp_path / "a.gguf").exists()


def test_an_architecture_that_the_converter_does_not_know_is_refused(converter, converted, tmp_path):
    model = Path(shutil.copytree(converted[0], tmp_path / "model"))
    config = json.loads((model / "config.json").read_text()) | {"architectures": ["FutureForCausalLM"]}
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(WorkbenchError, match="does not know models of the kind FutureForCausalLM"):
        converting.convert(silent, str(converter.root), str(model), str(tmp_path / "a.gguf"), "f16", "a", False)


def llama_cpp_that(folder: Path, program: str) -> Path:
    """A folder with a converter that does something else than convert."""
    (folder / "conversion").mkdir(parents=True)
    (folder / "conversion" / "__init__.py").write_text(program)
    (folder / "convert_lora_to_gguf.py").write_text(program)
    return folder


def test_a_converter_that_fails_is_told_in_words_and_nothing_is_left(first_run, tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_CPP_ROOT", str(llama_cpp_that(tmp_path / "broken", "raise KeyError('tensor')")))
    monkeypatch.setattr(export_gguf, "write_merged", lambda run, options, folder, say: (qwen3(folder), ([], []))[1])
    with pytest.raises(
        WorkbenchError, match="The converter to GGUF failed: KeyError: 'tensor'. Nothing was written. .* export.log"
    ):
        exports.export("first", "gguf", tmp_path / "out", ExportOptions(), silent)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["broken", "home"]


def test_what_nothing_here_can_quantise_is_refused_before_anything_is_merged(first_run, tmp_path, monkeypatch):
    monkeypatch.setenv("LLAMA_CPP_ROOT", str(llama_cpp_that(tmp_path / "llama.cpp", "")))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(export_gguf, "write_merged", lambda *_: pytest.fail("merged in vain"))
    with pytest.raises(
        WorkbenchError, match="q4_k_m is written by llama.cpp itself, and neither its program llama-quantize"
    ):
        exports.export("first", "gguf", tmp_path / "out", ExportOptions(quantization="q4_k_m"), silent)
    (tmp_path / "llama-quantize").write_text("")
    (tmp_path / "llama-quantize").chmod(0o755)
    assert export_gguf.ready(ExportOptions(quantization="q6_k"), silent)[1] == str(tmp_path / "llama-quantize")
    assert export_gguf.ready(ExportOptions(quantization="q8_0"), silent)[1] == "", "the converter writes it"


@needs_llama_cpp
def test_a_model_is_quantised_by_llama_cpp(converted, tmp_path):
    found = export_gguf.model_as_gguf(
        "tiny", converted[0], ExportOptions(quantization="q4_k_m"), tmp_path, silent, PROMPTS
    )
    said = {check.what: check for check in found[0]}
    assert failed(found[0]) == [] and "Q4_K" in said["Weights"].found and said["Kind"].found == "q4_k_m"
    assert sorted(one.name for one in tmp_path.iterdir() if one.is_file()) == ["Modelfile", "tiny-q4_k_m.gguf"]


def test_a_program_that_only_copies_is_found_out(converted, tmp_path, monkeypatch):
    """llama-quantize on PATH is believed no more than the converter is."""
    (tmp_path / "llama-quantize").write_text('#!/bin/sh\n/bin/cp "$1" "$2"\n')
    (tmp_path / "llama-quantize").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "out"
    out.mkdir()
    found = export_gguf.model_as_gguf("tiny", converted[0], ExportOptions(quantization="q6_k"), out, silent, PROMPTS)
    assert failed(found[0]) == ["Kind"]
    (tmp_path / "llama-quantize").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(WorkbenchError, match="llama-quantize could not quantize to q6_k .code 3.. Take f16 or q8_0"):
        export_gguf.model_as_gguf("tiny", converted[0], ExportOptions(quantization="q6_k"), out, silent, PROMPTS)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            {"use_dora": True},
            "is a DoRA, which also changes the length of the weights. llama.cpp's format for adapters has the two",
        ),
        ({"modules_to_save": ["lm_head"]}, "trained whole modules beside the LoRA"),
        ({"use_rslora": True}, "scales its layers by something else than alpha / rank"),
        ({"alpha_pattern": {"q_proj": 3}}, "scales its layers by something else than alpha / rank"),
    ],
)
def test_an_adapter_that_a_gguf_cannot_hold_is_refused(first_run, tmp_path, settings, why):
    file = first_run.adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))
    with pytest.raises(WorkbenchError, match=why):
        exports.export("first", "gguf-lora", tmp_path / "out", ExportOptions(), silent)
    assert [one.name for one in tmp_path.iterdir()] == ["home"]


def test_a_reward_model_is_refused(first_run, tmp_path, monkeypatch):
    monkeypatch.setattr(type(first_run), "is_reward", True)
    with pytest.raises(WorkbenchError, match="first is a reward model, whose scores llama.cpp has no place for"):
        exports.export("first", "gguf-lora", tmp_path / "out", ExportOptions(), silent)


def test_an_adapter_becomes_a_gguf_for_llama_server(first_run, tmp_path):
    converter_or_skip(lora=True)
    out = tmp_path / "out"
    found = exports.export("first", "gguf-lora", out, ExportOptions(), silent)
    assert failed(found.checked) == [] and found.files == ("first-lora.gguf",)
    assert [check.found for check in found.checked] == ["70 of 70", "32, in training 32", "adapter, lora"]
    (serve,) = found.serving
    assert serve.commands[0] == f"llama-server -m BASE.gguf --lora {out / 'first-lora.gguf'} --jinja --port 8080"
    base = Path(converting.templates.__file__).parents[2] / "assets" / "demo" / "model"
    kept = json.loads((first_run.adapter / "adapter_config.json").read_text())
    (first_run.adapter / "adapter_config.json").write_text(json.dumps(kept | {"lora_alpha": 16}))
    assert failed(gguf_check.lora_checks(out / "first-lora.gguf", first_run.adapter, base)) == ["Alpha"]


@needs_llama_cpp
def test_llama_cpp_reads_the_same_tokens_and_gives_the_same_answers(converted, tmp_path):
    model, file, checks, _ = converted
    assert next(check for check in checks if check.what == "Tokens of prompts").found.startswith("4 of 4")
    found = next(check for check in checks if check.what == ASKED)
    assert found.ok and found.found.startswith("4 of 4 greedy answers")
    other = random_qwen3(tmp_path / "other", hidden=256)
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
    ):
        shutil.copy2(model / name, other / name)
    import torch
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "model.safetensors")
    torch.manual_seed(4)
    save_file(
        {key: value + 0.02 * torch.randn_like(value) for key, value in weights.items()}, other / "model.safetensors"
    )
    assert ASKED in failed(gguf_asked.answer_checks(file, other, "f16", PROMPTS))
