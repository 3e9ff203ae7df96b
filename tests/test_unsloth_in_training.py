"""What Unsloth does to a model in the middle of its training, by a stand-in that does the same few things."""

import contextlib
import json
import types

import pytest
import torch
from configs import demo_config
from made_runs import create_run
from transformers import DynamicCache

from workbench.engine import load, reference, samples, stage, train
from workbench.engine.clock import RunClock
from workbench.engine.place import Place
from workbench.engine.report import ReportCallback
from workbench.engine.scoring import Written, log_probs
from workbench.engine.trouble import without_paths


class Layer(torch.nn.Module):
    """A layer with the adapter's weight, which inference reads from a copy in 16 bits."""

    def __init__(self):
        super().__init__()
        self.gradient_checkpointing = "unsloth"
        self.adapter = torch.nn.Parameter(torch.zeros(1))

    def forward(self) -> float:
        if not hasattr(self.adapter, "_fast_lora"):
            self.adapter._fast_lora = self.adapter.detach().clone()
        return self.adapter._fast_lora.item()


class PatchedByUnsloth(torch.nn.Module):
    """generate, for_inference and for_training as in Unsloth 2026.10, models/llama.py and models/_utils.py."""

    device = "cpu"

    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([Layer(), Layer()])
        self.layers[1].gradient_checkpointing = False
        self.config = types.SimpleNamespace(use_cache=False)

    def for_inference(self):
        self.eval()
        self.config.use_cache = True
        for layer in self.layers:
            layer.gradient_checkpointing = False

    def for_training(self, use_gradient_checkpointing=True):
        self.train()
        self.config.use_cache = False
        for layer in self.layers:
            layer.gradient_checkpointing = use_gradient_checkpointing
            vars(layer.adapter).pop("_fast_lora", None)

    def generate(self, **_):
        was_training = self.training
        self.for_inference()
        answer = self.layers[0]()
        if was_training:
            self.for_training()
        return answer


@pytest.mark.parametrize("training", [True, False])
def test_sample_answers_leave_a_model_of_unsloth_as_it_trained(training):
    """Checkpointing as it was in each layer; after a step that moves the weight from 0 to 3 the answer is 3, not 0."""
    model = PatchedByUnsloth().train(training)
    for weight in (0.0, 3.0):
        model.layers[0].adapter.data.fill_(weight)
        with samples.undisturbed(model):
            assert model.generate() == weight
        assert [layer.gradient_checkpointing for layer in model.layers] == ["unsloth", False]
        assert (model.training, model.config.use_cache) == (training, False)
        assert not [layer for layer in model.layers if hasattr(layer.adapter, "_fast_lora")]


def test_an_answer_is_read_by_a_model_that_keeps_a_cache_of_its_own(base):
    """Unsloth's forward leaves an empty cache as it was and gives back another: the next piece has to be read after that one."""

    class KeepsItsOwn:
        def __getattr__(self, name):
            return getattr(base.model, name)

        def __call__(self, past_key_values, **asked):
            cache = past_key_values if past_key_values.get_seq_length() else DynamicCache(config=base.model.config)
            return base.model(past_key_values=cache, **asked)

    rows = [Written((5, 6, 7), (8, 9, 10, 11), ("",) * 4, False), Written((12,), (13, 14), ("",) * 2, False)]
    assert log_probs(KeepsItsOwn(), 0, rows) == log_probs(base.model, 0, rows)


@pytest.mark.parametrize(("backend", "parts"), [("unsloth", 1), ("transformers", None)])
def test_the_rows_of_kto_are_not_split_among_the_cpus(monkeypatch, backend, parts):
    """Mismatched pairs are made within a part, so that their number would decide what is trained on."""
    asked = {}

    class Asked(Exception):
        pass

    def settings(**arguments):
        asked.update(arguments)
        raise Asked

    monkeypatch.setattr(stage, "trainer_class", lambda *_: (None, settings))
    monkeypatch.setattr(load, "unsloth_may_refuse", lambda *_: contextlib.nullcontext())
    config = demo_config(method="kto", sft_data=None, preference_data=None, thumbs_data="demo-thumbs")
    run = create_run(config)
    loaded = types.SimpleNamespace(backend=backend, device=train.this_device(), precision="nf4", tokenizer=None)
    work = stage.Work(run, config, loaded, PatchedByUnsloth(), stage.Companions(), Place(run), RunClock(run))
    with pytest.raises(Asked):
        stage.make_trainer(work, "kto", [{}] * 8, [{}], None, [])
    assert asked.get("dataset_num_proc") == parts


def test_the_longest_example_is_the_configs_where_unsloth_packs_rows_without_padding():
    """Its SFT leaves None in the trainer's arguments. Of 30 + 10 tokens 2 of the answer are within 32, and not its end."""
    from datasets import Dataset

    config = demo_config(method="sft", preference_data=None, max_length=32)
    run = create_run(config)
    rows = Dataset.from_list([{"input_ids": [1] * 40, "labels": [-100] * 30 + [7] * 9 + [2]}])
    report = ReportCallback(run, "sft", 10)
    nothing = types.SimpleNamespace(max_length=None)
    state = types.SimpleNamespace(global_step=0, max_steps=4)
    model = types.SimpleNamespace(generation_config=types.SimpleNamespace(eos_token_id=2))
    tokenizer = types.SimpleNamespace(eos_token_id=2)
    loader = types.SimpleNamespace(dataset=rows)
    report.on_train_begin(nothing, state, None, model=model, train_dataloader=loader, processing_class=tokenizer)
    [facts] = [row for row in run.metrics() if "answers/examples" in row]
    assert (facts["answers/chosen"], facts["answers/ended"]) == (2.0, 0.0)


def test_a_release_of_unsloths_kernels_is_another_reference():
    assert "unsloth_zoo" in reference._COMPUTES and "unsloth_zoo" in train.PACKAGES


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("No config in '/home/anna b/secret one/x'.", "No config in '.../x'."),
        ("Cannot read /data/secret/x/config.json, sorry.", "Cannot read .../config.json, sorry."),
        (r"C:\Users\secret\x is bad", ".../x is bad"),
        ("cut off: '/mnt/secret disk/mod", "cut off: '.../mod'"),
        ("see https://huggingface.co/a/b for 3/4 and/or more", "see https://huggingface.co/a/b for 3/4 and/or more"),
    ],
)
def test_a_refusal_names_no_folder_of_this_machine(words, shown):
    """It is kept in environment.json, beside an adapter that is meant to be shared."""
    assert without_paths(words) == shown
    with pytest.raises(load.UnslothRefused) as refused, load.unsloth_may_refuse("unsloth"):
        raise NotImplementedError(f"Unsloth: {words}")
    assert "secret" not in json.dumps(str(refused.value))
