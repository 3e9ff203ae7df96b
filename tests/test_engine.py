"""The real thing on the demo model: NF4, TRL, PEFT. Short runs, each through the worker's own entry."""

import errno
import json
import logging
import math

import pytest
from configs import demo_config
from data_files import add_file
from datasets import Dataset
from made_runs import create_run, few_rows
from run_cases import wrong_reference

from workbench.core.errors import WorkbenchError
from workbench.core.training.model_files import check_config, check_files
from workbench.core.training.recipe import Device
from workbench.engine import adapters, load, train
from workbench.engine.device import this_device
from workbench.engine.report import WrongReference, check_start
from workbench.engine.rows import load_rows, with_something_to_learn
from workbench.engine.trouble import explain
from workbench.store import datasets
from workbench.store.datasets import Provenance
from workbench.store.home import shipped
from workbench.store.runs import Run


def run_of(**changes) -> Run:
    """A run on few rows of the demo."""
    return create_run(demo_config(**few_rows() | changes))


def test_sft_then_dpo_ends_with_an_adapter_that_loads_alone():
    import torch
    from peft import PeftModel

    run = run_of()
    assert train.main(str(run.folder)) == 0
    result = run.result()
    assert result.outcome == "finished", result.why

    rows = run.metrics()
    first = next(row for row in rows if row.get("stage") == "dpo" and "eval_loss" in row)
    assert first["step"] == 0
    assert abs(first["eval_loss"] - math.log(2)) < 0.002
    assert abs(first["eval_rewards/chosen"]) < 1e-4 and abs(first["eval_rewards/rejected"]) < 1e-4
    trained = [row["step"] for row in rows if row.get("stage") == "dpo" and "loss" in row]
    assert trained == [1, 2, 3, 4]
    assert {"rewards/margins", "rewards/accuracies", "logps/chosen", "grad_norm", "learning_rate"} <= rows[
        -4
    ].keys() | {key for row in rows for key in row}

    taken = [row for row in rows if "loss" in row]
    assert all(row["memory_in_use"] > 1e8 for row in taken)
    assert [row["step"] for row in taken if "tokens_per_second" not in row] == [1, 1]  # the first one of each stage
    assert all(0 < row["tokens_per_second"] < 1e6 for row in taken if row["step"] > 1)

    names = {path.name for path in run.adapter.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "README.md"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt"))]
    assert json.loads((run.adapter / "adapter_config.json").read_text())["base_model_name_or_path"] == "demo"
    card = (run.adapter / "README.md").read_text()
    assert "library_name: peft" in card and "Reward accuracy" in card and str(run.folder) not in card
    assert run.stage_adapter("sft").is_dir()
    assert not (run.folder / "scratch").exists() and not (run.folder / "reserve").exists()

    base = load.load_base(demo_config().model, "nf4", this_device(), lambda words: None).model
    model = PeftModel.from_pretrained(base, run.adapter)
    adapter = [weight for name, weight in model.named_parameters() if "lora_" in name]
    assert {weight.dtype for weight in adapter} == {torch.float32}
    assert any(weight.abs().max() > 0 for weight in adapter)


def test_the_adapter_is_trained_in_fp32_and_moves_at_a_small_learning_rate():
    """At 1e-7 an update is far below bf16's spacing of 0.4 %: a rounded adapter would not move at all."""
    from safetensors.torch import load_file

    small = {"learning_rate": 1e-7, "max_steps": 3}
    run = run_of(method="dpo", sft_data=None, dpo=small, schedule="constant_with_warmup", warmup=0)
    assert train.main(str(run.folder)) == 0, run.result()
    trained = load_file(run.adapter / "adapter_model.safetensors")
    config = run.config()
    base = load.load_base(config.model, "nf4", this_device(), lambda words: None)
    fresh = load.add_adapter(base, config.adapter, False, config.seed).state_dict()
    moved = [
        (weight != fresh[name.replace(".weight", ".default.weight")]).float().mean().item()
        for name, weight in trained.items()
        if "lora_A" in name
    ]
    # lora_B starts at zero, so its first step moves every entry; lora_A follows from the second step on.
    b_moved = [(weight != 0).float().mean().item() for name, weight in trained.items() if "lora_B" in name]
    assert min(b_moved) > 0.9
    assert sum(moved) / len(moved) > 0.5


def test_what_is_stored_beside_the_rows_is_not_for_the_trainer():
    """Numbers of source rows and scores; in the first version and in a changed one."""
    rows = [{"prompt": f"q {i}", "chosen": f"a {i}", "rejected": f"b {i}", "score_chosen": 5.0, "score_rejected": 1.0}
            for i in range(40)]  # fmt: skip
    datasets.add(enumerate(rows, 1), "mine", source=Provenance("a test"))
    assert datasets.row("mine", 0, extras=True).keys() == {"prompt", "chosen", "rejected", "source_row", "scores"}
    config = demo_config(preference_data="mine", sft_data="mine")
    for change in (lambda: None, lambda: datasets.delete_rows("mine", [0])):
        change()
        about = datasets.about("mine")
        for stage, columns in (("dpo", ["prompt", "chosen", "rejected"]), ("sft", ["prompt", "completion"])):
            training, held_out = load_rows(config, stage)
            assert (training.column_names, held_out.column_names) == (columns, columns)
            assert (len(training), len(held_out)) == (about.train_rows, about.held_out_rows)
        assert training[0]["completion"] == datasets.read("mine", "train", 1)[0]["chosen"]


LIBRARIES = ("trl", "datasets", "transformers")


@pytest.fixture
def heard(caplog):
    """What the libraries log. They keep it from the loggers above them."""
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    for logger in loggers:
        logger.addHandler(caplog.handler)
    yield caplog
    for logger in loggers:
        logger.removeHandler(caplog.handler)


@pytest.mark.parametrize(("name", "trainer", "file"), [
    ("demo-preferences", "DPO", "pairs.jsonl"),
    ("demo-preferences", "DPO", "pairs.parquet"),
    ("demo-sft", "SFT", "examples.jsonl"),
])  # fmt: skip
def test_an_export_is_trained_on_by_plain_trl_without_a_word(tmp_path, heard, recwarn, name, trainer, file):
    import trl
    from datasets import load_dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    datasets.export(name, tmp_path / file, "held_out")
    recwarn.clear()
    kind = "parquet" if file.endswith("parquet") else "json"
    rows = load_dataset(kind, data_files=str(tmp_path / file), split="train", cache_dir=str(tmp_path / "cache"))
    folder = shipped("assets") / "demo" / "model"
    args = getattr(trl, f"{trainer}Config")(
        output_dir=str(tmp_path / "out"), max_steps=1, per_device_train_batch_size=2, max_length=256, report_to="none",
        save_strategy="no", use_cpu=True, bf16=False, logging_steps=1, disable_tqdm=True,
    )  # fmt: skip
    trained = getattr(trl, f"{trainer}Trainer")(
        model=AutoModelForCausalLM.from_pretrained(folder), args=args, train_dataset=rows,
        processing_class=AutoTokenizer.from_pretrained(folder),
    )  # fmt: skip
    assert len(trained.train_dataset) == datasets.about(name).held_out_rows
    trained.train()
    assert math.isfinite(trained.state.log_history[0]["loss"])
    assert [record.getMessage() for record in heard.records if record.levelno >= logging.WARNING] == []
    assert [str(one.message) for one in recwarn if any(f"/{library}/" in one.filename for library in LIBRARIES)] == []


def test_an_evaluation_does_not_cut_the_gradients_of_what_follows():
    """bitsandbytes 0.50 repacks 4-bit weights at the first forward pass in eval mode; see engine/load.py."""
    import torch

    base = load.load_base(demo_config().model, "nf4", this_device(), lambda words: None)
    model = load.add_adapter(base, demo_config().adapter, False, 1)
    ids = torch.arange(8, 72).reshape(4, 16)

    def gradient():
        model.train()
        model.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.requires_grad])

    before = gradient()
    model.eval()
    with torch.no_grad():
        model(input_ids=ids)
    after = gradient()
    assert torch.equal(before, after)
    assert before.norm() > 0


def test_a_reference_that_is_not_the_start_is_refused():
    dpo = demo_config().dpo
    check_start({"eval_loss": math.log(2), "eval_rewards/chosen": 0.0, "eval_rewards/rejected": 0.0}, "dpo", dpo)
    for wrong in (
        {"eval_loss": 0.70, "eval_rewards/chosen": 0.0, "eval_rewards/rejected": 0.0},
        {"eval_loss": math.log(2), "eval_rewards/chosen": 0.5, "eval_rewards/rejected": 0.5},
        {"eval_loss": float("nan"), "eval_rewards/chosen": 0.0, "eval_rewards/rejected": 0.0},
    ):
        with pytest.raises(WrongReference, match="ln 2 = 0.6931"):
            check_start(wrong, "dpo", dpo)


def test_a_model_that_unsloth_refuses_is_trained_without_it_and_the_reason_is_kept(monkeypatch):
    """The worker begins anew, as what Unsloth has patched cannot be taken back."""
    asked = []

    def load_base(ref, precision, device, say, max_length, with_unsloth, scores):
        asked.append(with_unsloth)
        if with_unsloth:
            with load.unsloth_may_refuse("unsloth"):
                raise NotImplementedError("Unsloth: phi9 is not yet implemented!")
        raise WorkbenchError(load.find_unsloth(device)[1])

    monkeypatch.setenv(load.WITHOUT_UNSLOTH, "")
    monkeypatch.setattr(load, "load_base", load_base)
    monkeypatch.setattr(load.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(load.importlib.metadata, "version", lambda name: "2026.10.6")
    monkeypatch.setattr(train, "this_device", lambda: Device("cuda", "a card", True))
    monkeypatch.setattr(train.os, "execv", lambda program, command: train.main(command[-1]))
    run = run_of()
    train.main(str(run.folder))
    assert asked == [True, False]
    assert run.result().why == "Unsloth could not take this model (phi9 is not yet implemented)"


def test_rows_of_which_only_the_question_is_left_are_not_trained_on():
    """A loss of no tokens would be 0 / 0. TRL drops such rows itself; Unsloth, which prepares them in its stead, does not."""
    rows = Dataset.from_list([{"labels": [-100, 5]}, {"labels": [-100, -100]}, {"labels": [7]}])
    assert with_something_to_learn(rows)["labels"] == [[-100, 5], [7]]


def test_a_planted_wrong_reference_stops_the_run(monkeypatch):
    """The adapter that training starts from is changed behind the back of the reference that TRL copied."""
    monkeypatch.setattr(adapters, "restore_fp32", adapters.restore_fp32)  # so that it is put back after the test
    wrong_reference()
    run = run_of()
    assert train.main(str(run.folder)) == 1
    assert run.result().outcome == "failed"
    assert "the reference is not the model that training starts from" in run.result().why
    assert not run.has_adapter


def test_a_loss_that_is_not_a_number_ends_the_run_with_advice(monkeypatch):
    """One weight of the adapter is made NaN, as a learning rate that is far too high makes all of them."""
    restore = adapters.restore_fp32

    def spoil(model, before):
        restore(model, before)
        next(weight for weight in model.parameters() if weight.requires_grad).data[0, 0] = float("nan")

    monkeypatch.setattr(adapters, "restore_fp32", spoil)
    run = run_of(method="sft", preference_data=None)
    assert train.main(str(run.folder)) == 1
    assert run.result().outcome == "failed"
    assert "The loss became nan at step 1 of SFT" in run.result().why
    assert "learning rate is too high" in run.result().why
    assert "NaN" not in run.metrics_file.read_text(), "JSON has no NaN"


def test_a_stop_saves_the_adapter_and_says_during_which_stage(monkeypatch):
    """Without asking the Hub about the base model, as PEFT does on its own."""
    asked = []
    monkeypatch.setattr("peft.utils.save_and_load.check_file_exists_on_hf_hub", lambda *seen: asked.append(seen))
    run = run_of()
    run.stop_file.touch()
    assert train.main(str(run.folder)) == 0
    assert not asked
    assert run.result().outcome == "stopped"
    assert "during SFT" in run.result().why
    assert run.has_adapter


def test_a_full_disk_ends_the_run_with_a_plain_sentence(monkeypatch):
    run = run_of(method="dpo", sft_data=None)

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(adapters, "save_adapter", full)
    monkeypatch.setattr(train.traceback, "print_exc", full)  # the log is on that disk too
    assert train.main(str(run.folder)) == 1
    assert run.result().outcome == "failed"
    assert run.result().why.startswith("The disk is full")


def test_examples_that_are_all_too_long_are_said_before_training(tmp_path):
    row = {"prompt": "why " * 200, "chosen": "Because.", "rejected": "No."}
    file = tmp_path / "long.jsonl"
    file.write_text("".join(json.dumps(row | {"prompt": f"{n} {row['prompt']}"}) + "\n" for n in range(20)))
    add_file(file, "long")
    run = run_of(method="dpo", sft_data=None, preference_data="long", max_length=32)
    assert train.main(str(run.folder)) == 1
    assert "examples are too long: the prompt alone fills max length" in run.result().why


def test_examples_that_are_too_long_are_counted(tmp_path):
    rows = [
        {"prompt": f"{n} " + "why " * (200 if n < 5 else 1), "chosen": "Because.", "rejected": "No."} for n in range(40)
    ]
    file = tmp_path / "mixed.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    about = add_file(file, "mixed")
    run = run_of(method="dpo", sft_data=None, preference_data="mixed", max_length=64, dpo={"max_steps": 1})
    assert train.main(str(run.folder)) == 0, run.result()
    said = [row["phase"] for row in run.metrics() if "left out" in row.get("phase", "")]
    long_ones = sum(len(row["prompt"][0]["content"]) > 400 for row in datasets.read("mixed", "train"))
    assert said == [f"{long_ones} of {about.train_rows} examples were left out: the prompt alone fills max length"]


def test_errors_become_sentences_with_a_way_out():
    class OutOfMemoryError(RuntimeError):
        pass

    on_card = explain(OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert on_card.startswith("The card has no memory left") and "smaller batch size" in on_card
    assert explain(MemoryError()).startswith("The machine has no memory left")
    assert explain(RuntimeError("DefaultCPUAllocator: can't allocate memory")).startswith(
        "The machine has no memory left"
    )
    assert explain(WorkbenchError("As it is.")) == "As it is."
    assert "worker.log" in explain(KeyError("x"))
    assert all(
        "docs/trouble.md" in explain(error) for error in (KeyError("x"), RuntimeError("CUDA error: no kernel image"))
    )


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (["config.json", "pytorch_model.bin"], "no weights as .safetensors .found: pytorch_model.bin"),
        (["adapter_config.json", "adapter_model.safetensors"], "It holds an adapter"),
        (["model.gguf"], "no config.json"),
        ([], "no config.json.*found: nothing"),
    ],
)
def test_a_folder_that_is_no_model_is_refused_with_what_it_holds(files, words, tmp_path):
    with pytest.raises(WorkbenchError, match=words):
        check_files(files, "the folder")
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(WorkbenchError, match=words):
        load.fetch(demo_config().model.model_copy(update={"source": "folder", "name": str(tmp_path)}), print)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"model_type": "llama", "auto_map": {"AutoModel": "evil.Model"}}, "program code of its own"),
        ({"model_type": "llama", "text_config": {"auto_map": {"AutoModel": "evil.Model"}}}, "text_config.auto_map"),
        ({"model_type": "llama", "trust_remote_code": True}, "program code of its own"),
        ({"model_type": "llama", "text_config": {"model_type": "a\nimport os"}}, "unusual text_config.model_type"),
        ({"hidden_size": 5}, "without a model_type"),
    ],
)
def test_a_config_that_hides_code_is_refused(config, words):
    with pytest.raises(WorkbenchError, match=words):
        check_config(config, "owner/model")


def test_a_model_that_is_not_there_is_said_in_words(monkeypatch):
    from huggingface_hub import constants

    with pytest.raises(WorkbenchError, match="There is no folder /nowhere"):
        load.fetch(demo_config().model.model_copy(update={"source": "folder", "name": "/nowhere"}), print)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WorkbenchError, match="HF_HUB_OFFLINE is set.*demo model"):
        load.fetch(demo_config().model.model_copy(update={"source": "hub", "name": "owner/nothing"}), print)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("GatedRepoError", "is gated.*Accept them on https://huggingface.co/owner/model, run `hf auth login`"),
        ("RepositoryNotFoundError", "no model owner/model on the Hub, or it is private"),
        ("RevisionNotFoundError", "has no revision"),
        ("LocalEntryNotFoundError", "the Hub cannot be reached"),
        ("HfHubHTTPError", "The Hub refused to send owner/model .HTTP status 403"),
    ],
)
def test_every_no_of_the_hub_is_a_sentence_with_a_way_out(monkeypatch, kind, words):
    import httpx
    import huggingface_hub
    from huggingface_hub import errors

    def refuse(*_args, **_kwargs):
        error_type = getattr(errors, kind)
        response = httpx.Response(403, request=httpx.Request("GET", "https://huggingface.co"))
        raise (
            error_type("the server said no", response=response)
            if kind != "LocalEntryNotFoundError"
            else error_type("no")
        )

    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", refuse)
    with pytest.raises(WorkbenchError, match=words):
        load.fetch(demo_config().model.model_copy(update={"source": "hub", "name": "owner/model"}), print)


def test_remote_code_on_the_hub_is_refused_before_the_weights_are_downloaded(monkeypatch, tmp_path):
    import huggingface_hub

    (tmp_path / "config.json").write_text(json.dumps({"model_type": "x", "auto_map": {"AutoModel": "evil.Model"}}))
    monkeypatch.setattr(huggingface_hub, "get_hf_file_metadata", lambda *_a, **_k: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda *_a, **_k: str(tmp_path / "config.json"))
    monkeypatch.setattr(
        huggingface_hub, "snapshot_download", lambda *_a, **_k: pytest.fail("nothing may be downloaded")
    )
    with pytest.raises(WorkbenchError, match="program code of its own"):
        load.fetch(demo_config().model.model_copy(update={"source": "hub", "name": "owner/model"}), print)
