"""A run merged into its base model: exact where it can be, compared where it cannot, and found out where it is wrong."""

import json
import sys
import threading
from pathlib import Path

import psutil
import pytest
from made_runs import reward_run
from random_models import random_qwen3, random_run
from test_thinking import DROPS_EARLIER

from workbench.core.errors import WorkbenchError
from workbench.core.export.agreement import TOLERANCES, AnswerPair, Comparison, Measured, checks
from workbench.core.export.targets import ExportOptions
from workbench.core.memory.merging import arithmetic, check_disk
from workbench.engine import merge
from workbench.jobs import exports, merging

LOGITS, ANSWERS = "Logits in bf16 against base and adapter in fp32", "Greedy answers"


def silent(fraction, words):
    pass


def export(run, out: Path, **options):
    return exports.export(run.name, "merged", out, ExportOptions(**options), silent)


def trained_in_full(run):
    """The run, as if it had trained on the very weights, so that it is not compared with 4 bits too."""
    run.add_to_environment({"precision": "fp32"})
    return run


def found_of(exported) -> dict:
    return {check.what: check for check in exported.checked}


def weights_in(folder: Path):
    from safetensors.torch import load_file

    return {name: value for file in folder.glob("*.safetensors") for name, value in load_file(file).items()}


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", "BF16"), ("fp32", "F32")])
def test_the_merged_weights_are_w_plus_scaled_b_a(precision, dtype, first_run, tmp_path, one_base, in_this_process):
    """By hand, for every adapted matrix, without PEFT: W + alpha / rank * B A in fp32, rounded once."""
    import torch

    out = tmp_path / "out"
    found = export(trained_in_full(first_run), out, precision=precision, strength=0.5)
    assert found.agrees, found.checked
    base = weights_in(Path(merge.load.fetch(first_run.config().model, print)))
    adapter, merged = weights_in(first_run.adapter), weights_in(out)
    kind = {"bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    settings = first_run.config().adapter
    assert merged.keys() == base.keys()
    changed = 0
    for name, weight in base.items():
        stem = f"base_model.model.{name.removesuffix('.weight')}"
        wanted = weight.float()
        if f"{stem}.lora_A.weight" in adapter:
            delta = adapter[f"{stem}.lora_B.weight"] @ adapter[f"{stem}.lora_A.weight"]
            wanted = wanted + 0.5 * settings.alpha / settings.rank * delta
            changed += 1
        assert merged[name].dtype == kind
        # The products are summed in another order: within one rounding of the type.
        torch.testing.assert_close(
            merged[name], wanted.to(kind), rtol=2**-7 if precision == "bf16" else 1e-5, atol=1e-7
        )
    assert changed == 7 * 5, "seven matrices of each of five layers"


def test_the_folder_holds_all_that_answering_as_in_training_needs(first_run, tmp_path, one_base, in_this_process):
    out = tmp_path / "out"
    found = export(first_run, out)
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
            "chat_template.jinja", "README.md", "curves.png"} == set(found.files)  # fmt: skip
    card = (out / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: transformers\npipeline_tag: text-generation\n")
    assert "A model in bf16, with a LoRA adapter merged into the full-precision weights, from demo model" in card
    assert "## Compared with the run" in card and "Logits in bf16 against base and adapter in fp32: differ by" in card
    assert 'dtype="auto"' in card and "peft" not in card
    assert json.loads((out / "generation_config.json").read_text())["eos_token_id"] == [2]
    said = found_of(found)
    assert said["Chat template and tokenizer"].found == "12 of 12 prompts become the very tokens of training"
    assert "the run trained on weights in nf4" in said["As it was trained"].found
    assert [one.engine for one in found.serving][:2] == ["transformers serve", "vLLM"]


def test_a_model_that_can_think_is_exported_with_the_switch_as_it_was_in_training(tmp_path, one_base, in_this_process):
    """The template alone opens a thought; the run trained with thinking off, and the exported one closes it by itself."""
    from transformers import AutoTokenizer

    run = trained_in_full(random_run("thinks", random_qwen3(tmp_path / "model", DROPS_EARLIER)))
    found = export(run, tmp_path / "out")
    asked = [{"role": "user", "content": "When?"}]
    rendered = AutoTokenizer.from_pretrained(tmp_path / "out").apply_chat_template(
        asked, add_generation_prompt=True, tokenize=False
    )
    assert rendered == "<|user|>When?<|end|><|assistant|><think>\n\n</think>\n\n"
    assert found.agrees, found.checked
    assert "As it was trained" not in found_of(found), "it was trained on the very weights"
    assert found_of(found)["Chat template and tokenizer"].ok


def test_large_weights_are_written_in_several_files(tmp_path, one_base, in_this_process, monkeypatch):
    monkeypatch.setattr(merge, "FILE", "200KB")
    run = trained_in_full(random_run("wide", random_qwen3(tmp_path / "model")))
    found = export(run, tmp_path / "out")
    shards = [name for name in found.files if name.startswith("model-0")]
    assert len(shards) > 2 and "model.safetensors.index.json" in found.files and found.agrees


def spoil(how):
    """A merge that goes wrong in a way that has happened to people."""
    known = merge.save

    def save(model, tokenizer, ends, out):
        layers = [layer for name, layer in model.named_modules() if name.endswith("down_proj")]
        if how == "other template":
            tokenizer.chat_template = tokenizer.chat_template.replace("<|assistant|>", "")
        elif how == "one layer twice":
            layers[0].weight.data.add_(layers[0].weight.data)
        known(model, tokenizer, ends, out)

    return save


@pytest.mark.parametrize(
    ("how", "check"),
    [("one layer twice", LOGITS), ("other template", "Chat template and tokenizer")],
)
def test_a_merge_that_went_wrong_is_found(how, check, first_run, tmp_path, one_base, in_this_process, monkeypatch):
    monkeypatch.setattr(merge, "save", spoil(how))
    found = export(trained_in_full(first_run), tmp_path / "out")
    assert not found_of(found)[check].ok and found.agrees is False


def test_an_adapter_that_was_not_merged_is_found(tmp_path, one_base, in_this_process, monkeypatch):
    """What is written is the base model itself."""
    from peft import PeftModel

    run = trained_in_full(random_run("strong", random_qwen3(tmp_path / "model"), strength=0.05))
    monkeypatch.setattr(PeftModel, "merge_and_unload", lambda self, safe_merge: self.unload(), raising=False)
    found = export(run, tmp_path / "out")
    assert found.agrees is False and not found_of(found)[LOGITS].ok


def measured(logits=0.01, kl=1e-4, gap=None, templated=2) -> Measured:
    pairs = [
        AnswerPair(prompt="one", of_run="A.", of_export="A."),
        AnswerPair(prompt="two", of_run="B.", of_export="C.", gap=gap) if gap is not None
        else AnswerPair(prompt="two", of_run="B.", of_export="B."),
    ]  # fmt: skip
    return Measured(
        prompts=2, tokens=40, templated=templated, changed=0.5, arithmetic="fp32", weights=100, trained=None,
        trained_in="nf4", whole=Comparison(logits=logits, kl=kl, answers=pairs),
    )  # fmt: skip


def test_answers_may_part_where_two_tokens_are_as_good_as_equally_likely():
    limit = TOLERANCES["bf16"].logits
    near = {one.what: one for one in checks(measured(gap=limit), "bf16")}[ANSWERS]
    assert near.ok and near.found.startswith("1 of 2 are identical; the others part where")
    assert [(one.prompt, one.of_run, one.of_export) for one in near.differing] == [("two", "B.", "C.")]
    far = {one.what: one for one in checks(measured(gap=3 * limit), "bf16")}[ANSWERS]
    assert not far.ok


@pytest.mark.parametrize("precision", TOLERANCES)
def test_each_precision_has_a_tolerance_of_its_own(precision):
    limit = TOLERANCES[precision]
    assert all(one.ok for one in checks(measured(limit.logits, limit.kl), precision))
    for wrong in (measured(1.01 * limit.logits), measured(kl=1.01 * limit.kl), measured(templated=1)):
        assert not all(one.ok for one in checks(wrong, precision))


def test_memory_is_looked_at_first():
    """10^9 weights: 1.15 * 4 GB in fp32, 1.15 * 2 GB in bf16."""
    assert arithmetic(10**9, "bf16", 0, 4_600_000_000, "big") == "fp32"
    assert arithmetic(10**9, "bf16", 0, 4_599_999_999, "big") == "bf16"
    with pytest.raises(WorkbenchError, match=r"Merging big needs about 2\.40 GB of memory, and 2\.30 GB are free"):
        arithmetic(10**9, "bf16", 10**8, 2_300_000_000, "big")
    with pytest.raises(WorkbenchError, match="Take bf16, which needs half of it"):
        arithmetic(10**9, "fp32", 0, 4_000_000_000, "big")
    check_disk(10**9, "bf16", 2_000_000_000)
    with pytest.raises(WorkbenchError, match=r"take 2\.00 GB in bf16, and the disk has 2\.00 GB free"):
        check_disk(10**9, "bf16", 1_999_999_999)


def test_a_machine_that_holds_only_16_bits_merges_in_them_and_says_so(tmp_path, one_base, in_this_process, monkeypatch):
    run = trained_in_full(random_run("small", random_qwen3(tmp_path / "model")))
    weights = merge.count_parameters(tmp_path / "model")
    memory = psutil.virtual_memory()
    free = 3 * weights + 2 * 4 * 16 * merge.NEW_TOKENS * 1536
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory._replace(available=free))
    found = export(run, tmp_path / "out")
    assert "Memory did not hold the base model in fp32" in found.notes[0] and found.agrees
    assert "Logits in bf16 against base and adapter in bf16" in found_of(found)


def test_what_cannot_be_merged_is_refused_with_the_reason(tmp_path, one_base, in_this_process):
    with pytest.raises(WorkbenchError, match="judge is a reward model, which is not merged"):
        export(reward_run(), tmp_path / "out")
    model = random_qwen3(tmp_path / "model")
    run = random_run("of-four-bits", model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "bitsandbytes"}}))
    with pytest.raises(WorkbenchError, match=r"The files of model are quantised themselves \(bitsandbytes\)"):
        export(run, tmp_path / "out")
    assert not (tmp_path / "out").exists()


ENDLESS = """
import json, sys, time
print(json.dumps({"event": "ready"}), flush=True)
sys.stdin.readline()
while True:
    print(json.dumps({"event": "progress", "fraction": 0.5, "text": "merging"}), flush=True)
    time.sleep(0.05)
"""


def test_a_merge_that_is_cancelled_ends_its_process(first_run, tmp_path):
    seen = []

    def cancel(fraction, words):
        seen.append((words, psutil.Process().children()))
        if words == "merging":
            raise WorkbenchError("Cancelled.")

    tmp_path.joinpath("out").mkdir()
    with pytest.raises(WorkbenchError, match="Cancelled"):
        merging.merge(first_run, ExportOptions(), tmp_path / "out", cancel, [sys.executable, "-c", ENDLESS])
    assert seen[-1][1] and not any(child.is_running() for child in seen[-1][1])


def test_a_merge_whose_process_ends_is_told_in_words(first_run, tmp_path):
    with pytest.raises(WorkbenchError, match="The process that merged first ended unexpectedly"):
        merging.merge(first_run, ExportOptions(), tmp_path, silent, [sys.executable, "-c", "pass"])
    with pytest.raises(WorkbenchError, match="no memory left for merging"):
        raise WorkbenchError(merge.in_words(MemoryError()))
    full = RuntimeError("Error while serializing: I/O error: File too large (os error 27)")  # as safetensors says it
    for error in (OSError(28, "No space left on device"), full):
        assert merge.in_words(error).endswith("or name a folder on another disk. Nothing was stored.")


def test_prompts_are_held_out_ones_and_a_few_of_ours(first_run):
    """The few pairs that it learned from hold out eight different prompts."""
    prompts = merging.fixed_prompts(first_run)
    assert len(prompts) == 8 + len(merging.OWN)
    assert [one[0]["content"] for one in prompts[-4:]] == list(merging.OWN)
    first_run.write_config(first_run.config().model_copy(update={"preference_data": "gone"}))
    assert len(merging.fixed_prompts(first_run)) == len(merging.OWN), "the data is gone"


def test_one_request_is_answered_with_progress_up_to_its_result(tmp_path, one_base):
    run = trained_in_full(random_run("small", random_qwen3(tmp_path / "model")))
    (tmp_path / "out").mkdir()
    said = []
    request = {"do": "merge", "run": str(run.folder), "out": str(tmp_path / "out"), "precision": "bf16", "strength": 1,
               "prompts": merging.fixed_prompts(run)}  # fmt: skip
    found = Measured.model_validate(merge.answer(request, said.append, threading.Event()))
    fractions = [one["fraction"] for one in said]
    assert fractions == sorted(fractions) and found.arithmetic == "fp32"
    assert "loading the merged model anew" in [one["text"] for one in said]
