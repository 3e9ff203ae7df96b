"""The reference's log-probabilities are computed once, kept, and never those of another model or text."""

import json
import math
import os
import struct

import pytest
import torch
from configs import demo_config
from made_runs import TWO_STEPS, create_run, first_settings, store_thumbs

from workbench.engine import reference, stage, train
from workbench.engine.reference import digests_of
from workbench.store.reference import LogProbCache, sweep
from workbench.store.runs import Run
from workbench.store.weights import fingerprint


def trained(name: str, **changes) -> Run:
    """As the first run, but for the changes."""
    run = create_run(demo_config(name, **first_settings() | changes))
    assert train.main(str(run.folder)) == 0, run.result()
    return run


def losses(run: Run) -> list[float]:
    return [row[key] for row in run.metrics() for key in ("loss", "eval_loss") if key in row]


def test_a_second_run_with_another_beta_rank_loss_and_seed_asks_no_reference(one_base, first_run, home):
    """2 steps of 4 pairs and 8 held-out ones: 32 answers, and 16 of them once more after the last step"""
    known = first_run.environment()["reference"]
    assert (known["read"], known["computed"]) == (16, 32) and known["milliseconds"] > 0
    again = trained("again", dpo=TWO_STEPS | {"beta": 0.3, "loss": "ipo"}, adapter={"rank": 4, "alpha": 8})
    assert again.environment()["reference"] == {"read": 48, "computed": 0, "milliseconds": 0}
    other = trained("other", seed=5)
    assert other.environment()["reference"]["computed"] <= 16, "the held-out pairs are the same for every seed"
    assert len(list((home / "reference").iterdir())) == 1


def test_the_curve_is_the_one_of_a_reference_that_is_asked_at_each_step(one_base, first_run):
    read, beside = trained("read"), trained("beside", reference="beside")
    assert losses(first_run) == losses(read) == losses(beside)
    assert "reference" not in beside.environment()


def test_after_sft_the_reference_is_the_sft_model_and_has_a_file_of_its_own(one_base, first_run, home):
    both = trained("both", method="sft+dpo", sft_data="few-answers", sft={"learning_rate": 1e-3, "max_steps": 2})
    first = next(row for row in both.metrics() if row.get("stage") == "dpo" and "eval_loss" in row)
    assert (first["eval_loss"], first["eval_rewards/chosen"]) == (pytest.approx(0.693147, abs=1e-4), 0)
    assert both.environment()["reference"]["computed"] == first_run.environment()["reference"]["computed"]
    assert len(list((home / "reference").iterdir())) == 2


def test_kto_keeps_its_mismatched_answers_too(one_base):
    store_thumbs()
    settings = {"method": "kto", "preference_data": None, "thumbs_data": "thumbs", "kto": TWO_STEPS}
    first, again = trained("liked", **settings), trained("again", **settings | {"seed": 3})
    assert first.environment()["reference"]["computed"] > 0
    assert again.environment()["reference"]["computed"] == 0
    assert losses(first)[0] == losses(again)[0]


def test_kept_values_of_another_model_are_forgotten_and_the_reference_is_asked_again(
    one_base, first_run, home, monkeypatch
):
    [file] = (home / "reference").iterdir()
    shifted = [{key: value - 3 for key, value in json.loads(line).items()} for line in file.read_text().splitlines()]
    file.write_text("\n".join(json.dumps(line) for line in shifted) + "\n")
    monkeypatch.setattr(train, "restart_worker", lambda folder: train.main(folder))
    again = trained("again")
    assert "Cached reference log-probabilities are stale; recomputing, so it is asked again" in [
        row.get("phase") for row in again.metrics()
    ]
    assert [row["eval_loss"] for row in again.metrics() if row.get("step") == 0 and "eval_loss" in row] == [
        pytest.approx(0.693147, abs=1e-4)
    ]
    assert again.environment()["reference"]["computed"] == 32


def batch(rows: list[list[int]], answer_from: int) -> dict[str, torch.Tensor]:
    """Rows padded to the same length with 0, as a collator does."""
    longest = max(len(row) for row in rows)
    return {
        "input_ids": torch.tensor([row + [0] * (longest - len(row)) for row in rows]),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
        "completion_mask": torch.tensor([[int(answer_from <= at < len(row)) for at in range(longest)] for row in rows]),
    }


def test_a_digest_is_of_the_tokens_and_of_where_the_answer_begins_not_of_the_padding():
    [alone] = digests_of(batch([[5, 6, 7]], 1))
    padded, longer = digests_of(batch([[5, 6, 7], [5, 6, 7, 0]], 1))
    assert alone == padded
    assert longer != alone
    assert digests_of(batch([[5, 6, 7]], 2)) != [alone]


def test_a_torn_line_is_passed_over_and_the_ones_around_it_are_known(home):
    kept = LogProbCache("one")
    kept.add({"a": -1.5, "b": -2.0})
    with open(kept.file, "a") as file:
        file.write('{"c": -3')
    LogProbCache("one").add({"d": -4.0})
    again = LogProbCache("one")
    assert [again.get(digest) for digest in "abcd"] == [-1.5, -2.0, None, -4.0]


def test_what_was_known_first_stays_and_what_is_no_number_is_not_kept(home):
    """Two runs that met an answer in different batches round it differently: neither may see its reference change."""
    one, other = LogProbCache("one"), LogProbCache("one")
    one.add({"a": -1.0, "b": math.nan, "c": -math.inf})
    other.add({"a": -1.01})
    again = LogProbCache("one")
    assert [again.get(digest) for digest in "abc"] == [-1.0, None, None]


def test_a_disk_that_is_full_costs_nothing_but_the_keeping(home, monkeypatch, capsys):
    kept = LogProbCache("one")
    kept.file.mkdir(parents=True)  # nothing can be appended to a folder
    kept.add({"a": -1.5})
    kept.add({"b": -1.0})
    assert (kept.get("a"), kept.get("b")) == (-1.5, -1.0)
    assert capsys.readouterr().out.count("cannot be kept") == 1


def test_the_references_used_longest_ago_go_first(home):
    for name in ("old", "middle", "new"):
        LogProbCache(name).add({"x" * 40: -1.0})
    for age, name in enumerate(("new", "middle", "old")):
        file = home / "reference" / f"{name}.jsonl"
        os.utime(file, (1e9 - age, 1e9 - age))
    size = (home / "reference" / "old.jsonl").stat().st_size
    sweep(keep="old", most=2 * size)
    assert sorted(file.stem for file in (home / "reference").iterdir()) == ["middle", "new", "old"]
    sweep(keep="new", most=2 * size)
    assert sorted(file.stem for file in (home / "reference").iterdir()) == ["middle", "new"]


def test_a_model_that_differs_in_one_weight_or_setting_has_another_fingerprint(tmp_path):
    """200,000 bytes of one tensor: the rows of new tokens at its end are seen too."""

    def store(*, first: int = 1, last: int = 1, config: str = "{}") -> str:
        header = json.dumps({"w": {"dtype": "U8", "shape": [200_000], "data_offsets": [0, 200_000]}}).encode()
        weights = bytes([first]) + bytes(199_998) + bytes([last])
        (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + weights)
        (tmp_path / "config.json").write_text(config)
        return fingerprint(tmp_path)

    assert store() == store()
    assert len({store(), store(first=2), store(last=2), store(config='{"rope_theta": 5}')}) == 4


def test_another_release_of_a_library_does_not_read_what_was_computed_by_the_one_before(base, monkeypatch):
    before = reference.open_reference(base, None, fresh=True).kept.file
    assert reference.open_reference(base, None, fresh=True).kept.file == before
    monkeypatch.setattr(reference, "_version", lambda package: "99")
    assert reference.open_reference(base, None, fresh=True).kept.file != before


def test_a_run_that_goes_on_with_half_the_batch_meets_each_row_once():
    """Memory ran out after 10 of 20 batches of 4: what is left are the 40 rows that were not met yet, two at a time"""
    from datasets import Dataset

    rows = Dataset.from_dict({"input_ids": [[1] * (5 + index * 7 % 50) for index in range(80)]})

    class Trainer:
        train_dataset = rows

    def order(asked):
        make = stage.trainer_class(asked, "sft", None)[0]
        return list(make._get_train_sampler(Trainer()))

    whole = order(demo_config(batch_size=4))
    assert sorted(whole) == list(range(80))
    run = create_run(demo_config(batch_size=4))
    run.adjust({"batch_size": 2, "accumulation": 2}, "half the batch")
    assert order(run.config()) == whole
    assert order(run.adjusted_config()) != whole
