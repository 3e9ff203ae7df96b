"""What a model card says, and that the Hub can read it: data, revisions, intervals, time, the curves beside it."""

import io
import json
from typing import Any

from configs import demo_config
from huggingface_hub import ModelCard
from made_runs import finished
from PIL import Image

from workbench.core.monitoring.charts import charts
from workbench.core.monitoring.metrics import RESUMED
from workbench.core.monitoring.progress import trained_seconds
from workbench.core.monitoring.run_log import RunLog
from workbench.core.training.config import ModelRef
from workbench.core.training.methods import ACCURACY, LOSS, Measured
from workbench.core.training.model_card import (
    Merged,
    model_card,
    report_in,
    with_curves,
    with_report,
)
from workbench.jobs.curves_picture import picture, with_curves_of, with_report_of

COMMIT = "c0ffee" + "0" * 34
ROWS = {
    "train_rows": 1600,
    "held_out_rows": 240,
    "fingerprint": "5af40f74bd172105f40c",
    "name": "mine",
    "revision": None,
}
OF_HUB = ROWS | {"source": "hub: org/pairs (split train)", "revision": COMMIT}
OWN = ROWS | {"source": "file: /home/somebody/secret/pairs.jsonl"}


def card_of(environment: dict[str, Any] | None = None, merged: Merged | None = None, **changes: Any) -> str:
    model = ModelRef(source="hub", name="org/model", revision=None)
    config = demo_config("kind", **{"method": "dpo", "sft_data": None, "model": model, "held_out_limit": 100} | changes)
    reached = [Measured("dpo", LOSS, 0.5), Measured("dpo", ACCURACY, 0.5)]
    return model_card(config, environment or {}, reached, None, merged)


def test_the_hub_reads_base_data_library_and_task_out_of_the_card_of_an_adapter():
    environment = {"data": {"dpo": OF_HUB}, "model": {"commit": COMMIT}, "backend": "unsloth"}
    data = ModelCard(card_of(environment)).data
    assert (data.base_model, data.datasets, data.library_name) == ("org/model", ["org/pairs"], "peft")
    assert data.pipeline_tag == "text-generation"
    assert data.tags == ["lora", "trl", "dpo", "alignment-workbench", "base_model:adapter:org/model", "unsloth"]


def test_a_merged_model_is_a_finetune_for_transformers():
    data = ModelCard(card_of({"data": {"dpo": OF_HUB}}, Merged("bf16", ["Logits: near."]))).data
    assert (data.library_name, data.base_model, data.datasets) == ("transformers", "org/model", ["org/pairs"])
    assert data.tags == ["trl", "dpo", "alignment-workbench", "base_model:finetune:org/model"]


def test_a_reward_model_is_a_classifier_and_the_demo_names_no_base_that_the_hub_has_not():
    data = ModelCard(model_card(demo_config("judge", method="reward", sft_data=None), {}, [])).data
    assert (data.pipeline_tag, data.base_model, data.datasets) == ("text-classification", None, None)


def test_data_of_the_hub_is_named_with_its_revision_and_own_data_without_its_place():
    environment = {"data": {"dpo": OF_HUB}, "model": {"commit": COMMIT}, "device": "NVIDIA H100", "seconds": 7200.0}
    said = card_of(environment)
    assert (
        "| Data | [org/pairs](https://huggingface.co/datasets/org/pairs), revision `c0ffee000000`: 1,600 rows, 240 held out, "
        "fingerprint `5af40f74bd17` |"
    ) in said
    assert "| Base model | org/model, revision `c0ffee000000` |" in said
    assert "| Device | NVIDIA H100 |" in said and "| Training time | 2.0 hours |" in said
    own = card_of({"data": {"dpo": OWN}, "seconds": 95.0})
    assert "| Data | mine (own data): 1,600 rows" in own and "| Training time | 2 min |" in own
    assert "/home" not in own and "secret" not in own and "datasets:" not in own
    mixed = card_of({"data": {"dpo": OF_HUB | {"source": "hub: org/pairs (split train), mixed with mine.jsonl"}}})
    assert "revision `c0ffee000000`, mixed with other data: 1,600 rows" in mixed and "mine.jsonl" not in mixed
    demo = card_of({"data": {"dpo": ROWS | {"source": "comes with the workbench", "name": "demo-preferences"}}})
    assert "| Data | demo-preferences (demo data): 1,600 rows" in demo


def test_a_share_has_its_interval_and_a_loss_has_none():
    """Wilson's interval of 50 of 100: (0.5 + 1.96² / 200 ± 1.96 * sqrt(0.25 / 100 + 1.96² / 40000)) / (1 + 1.96² / 100)."""
    said = card_of({"data": {"dpo": OWN}})
    assert "- Reward accuracy (DPO): 0.5 (95 % interval 0.404 to 0.596, 100 held-out pairs)" in said
    assert "- Loss (DPO): 0.5\n" in said
    assert "- Reward accuracy (DPO): 0.5\n" in card_of(), "of how many is not known"


def test_two_stages_tell_the_data_of_each():
    config = demo_config("kind")
    data = {stage: OF_HUB | {"source": f"hub: org/{stage} (split train)"} for stage in config.stages}
    said = model_card(config, {"data": data}, [])
    assert ModelCard(said).data.datasets == ["org/sft", "org/dpo"]
    assert "| Data of SFT | [org/sft]" in said and "| Data of DPO | [org/dpo]" in said


def test_the_time_between_two_lives_of_a_run_is_no_training():
    rows = [
        {"stage": "dpo", "step": 1, "time": 100.0}, {"stage": "dpo", "step": 5, "time": 160.0}, {"phase": "paused", "time": 170.0},
        {"stage": "dpo", RESUMED: 5, "phase": "going on", "time": 9000.0}, {"stage": "dpo", "step": 6, "time": 9030.0},
        {"stage": "dpo", "step": 7, "time": 8000.0},
    ]  # fmt: skip
    assert trained_seconds(rows) == 60 + 30, "and a clock that was put back counts for nothing"
    assert trained_seconds([]) == 0


def test_the_picture_stands_before_the_report_and_the_limits_and_what_a_person_wrote_stays():
    card = with_report("# first\n\nMy own words.\n\n## Limits\n\nSome.\n", "2026-01-02", ["Better."])
    drawn = with_curves(card, ["loss", "<b>margin</b>"])
    assert (
        drawn.index("My own words.")
        < drawn.index("![loss; &lt;b>margin&lt;/b>](curves.png)")
        < drawn.index("Report card")
    )
    assert report_in(drawn).startswith("<!-- report -->\n## Report card of 2026-01-02") and report_in("# none") == ""
    assert with_curves("# bare\n", ["loss"]).endswith("![loss](curves.png)\n\n")


def test_the_curves_are_drawn_from_what_was_logged(tmp_path):
    run = finished("kind", method="dpo", sft_data=None)
    run.write_environment({"plan": {"dpo": 3}})
    assert with_curves_of(run, tmp_path, "# kind\n") == "# kind\n" and not list(tmp_path.glob("*.png")), (
        "nothing was logged"
    )
    rows = [
        {"stage": "dpo", "step": step, "steps": 3, "loss": loss, "time": step} for step, loss in ((1, 0.69), (2, 0.6))
    ]
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert "](curves.png)" in with_curves_of(run, tmp_path, "# kind\n")
    image = Image.open(tmp_path / "curves.png")
    assert image.format == "PNG" and image.size == (880, 540), "one chart at two pixels per unit"
    assert not image.info.keys() - {"dpi"}, "no words that nobody sees"
    colours = image.convert("RGB").getcolors()
    assert sum(count for count, (red, _, blue) in colours if blue > 180 and red < 80) > 500, "the line is there"


def test_gaps_single_points_and_constant_lines_are_drawn():
    rows = [{"stage": "dpo", "step": step, "loss": value} for step, value in ((1, 0.5), (2, None), (3, 0.5))]
    drawn = [charts(RunLog.of(rows), {"dpo": 3})["dpo-loss"]]
    assert Image.open(io.BytesIO(picture(drawn * 3))).size == (1760, 1080)


def test_a_report_goes_with_a_merged_model():
    run = finished("kind")
    (run.adapter / "README.md").write_text(with_report("# kind\n", "2026-01-02", ["Better."]))
    card = with_report_of(run, "# kind\n\n## Limits\n\nSome.\n")
    assert card.index("- Better.") < card.index("## Limits") and card.count("<!-- report -->") == 1
    (run.adapter / "README.md").unlink()
    assert with_report_of(run, "# kind\n") == "# kind\n"
