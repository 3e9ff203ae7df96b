"""Answers to fixed prompts at each evaluation, from the real worker on the demo model."""

import hashlib

import pytest
from configs import demo_config
from drawn import watch, watch_page
from made_runs import create_run, few_rows
from peft import PeftModel

from workbench.core.chat import Sampling
from workbench.core.errors import WorkbenchError
from workbench.core.monitoring.health import SAMPLE_SHARE
from workbench.core.monitoring.run_log import RunLog
from workbench.core.training.config import read_config
from workbench.core.training.recipe import SAMPLE_TOKENS
from workbench.engine import load, train
from workbench.engine.generate import answers, end_tokens
from workbench.engine.journal import log_numbers, log_samples
from workbench.engine.samples import Samples, fixed_prompts, room_for_prompt
from workbench.engine.scoring import log_probs, written
from workbench.jobs.app_state import AppState
from workbench.jobs.logs import Reading
from workbench.store.runs import Run
from workbench.ui.samples_view import answers_html, evaluations, samples_html
from workbench.ui.watch_tab import signature

# Dropout draws random numbers in training, and checkpointing forbids the cache that answering needs.
TOUCHY = {
    "method": "dpo",
    "sft_data": None,
    "dpo": {"learning_rate": 1e-3, "max_steps": 2},
    "batch_size": 4,
    "held_out_limit": 8,
    "evaluations": 1,
    "gradient_checkpointing": True,
    "adapter": {"dropout": 0.1},
}


def trained(name: str, **changes) -> Run:
    run = create_run(demo_config(name, **few_rows() | TOUCHY | changes))
    assert train.main(str(run.folder)) == 0, run.result()
    return run


def numbers(run: Run) -> list[dict]:
    """What was logged, without the samples and without what a clock said."""
    clock = ("time", "eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "train_runtime")
    clock += ("train_samples_per_second", "train_steps_per_second", "tokens_per_second", "memory_in_use")
    rows = [row for row in run.metrics() if "step" in row and "samples/answers" not in row]
    return [{key: value for key, value in row.items() if key not in clock} for row in rows]


def without_cost(facts: dict[str, float]) -> dict[str, float]:
    return {key: value for key, value in facts.items() if key != SAMPLE_SHARE}


def test_answering_in_the_middle_of_training_changes_no_number_of_it(one_base, base):
    """Bit for bit the same curve and adapter with and without; before step 1 the answers are the base model's own."""
    without, sampled = trained("without", samples=0), trained("sampled", samples=3)
    assert numbers(sampled) == numbers(without)
    adapters = [(run.adapter / "adapter_model.safetensors").read_bytes() for run in (without, sampled)]
    assert hashlib.sha256(adapters[0]).digest() == hashlib.sha256(adapters[1]).digest()

    assert not without.samples_file.exists()
    lines = sampled.samples()
    assert [(line["stage"], line["step"]) for line in lines] == [("dpo", step) for step in (0, 2) for _ in range(3)]
    prompts = [line["prompt"] for line in lines[:3]]
    assert [line["prompt"] for line in lines[3:6]] == prompts and prompts[0] != prompts[1]
    load.load_base(None)  # takes the adapter off
    likeliest = Sampling(temperature=0, max_new_tokens=SAMPLE_TOKENS)
    assert [line["answer"] for line in lines[:3]] == answers(base.model.eval(), base.tokenizer, prompts, likeliest)
    told = [row for row in sampled.metrics() if "samples/answers" in row]
    assert [row["step"] for row in told] == [0, 2]
    assert told[0]["samples/tokens"] == pytest.approx(sum(line["tokens"] for line in lines[:3]) / 3)
    assert "samples/longer" in told[1]


def test_an_answer_that_cannot_be_had_does_not_end_a_run(one_base, monkeypatch, capsys):
    """The first ones are answered; then memory is short, and nobody asks again."""
    answer, asked = Samples._answered, []

    def short_of_memory(self, step, model, tokenizer):
        asked.append(step)
        if step:
            raise RuntimeError("CUDA out of memory")
        return answer(self, step, model, tokenizer)

    monkeypatch.setattr(Samples, "_answered", short_of_memory)
    run = trained("short", samples=2)
    assert run.result().outcome == "finished"
    assert asked == [0, 2]
    assert capsys.readouterr().out.count("No more sample answers in this stage: RuntimeError: CUDA out of memory") == 1
    assert len(run.samples()) == 2


def test_a_run_that_was_resumed_does_not_answer_twice_at_one_step(monkeypatch):
    """Answers of an earlier life count; those that a kill broke off in the middle are given again."""
    run = create_run(demo_config())
    prompts = [[{"role": "user", "content": text}] for text in ("a", "b")]
    asked = []

    def answered(self, step, model, tokenizer):
        asked.append(step)
        length = 2 + step
        return [
            {"stage": "dpo", "step": step, "prompt": prompt, "answer": "x", "tokens": length, "hit_limit": False,
             "repetition": 0.0} for prompt in prompts
        ]  # fmt: skip

    monkeypatch.setattr(Samples, "_answered", answered)
    first = Samples(run, "dpo", prompts)
    before = [without_cost(first.facts_at(step, None, None, is_last=step == 5)) for step in (0, 5)]
    assert [facts["samples/tokens"] for facts in before] == [2, 7]

    again = Samples(run, "dpo", prompts)
    assert again.facts_at(5, None, None) == before[1]
    assert asked == [0, 5] and len(run.samples()) == 4

    lines = run.samples_file.read_text().splitlines(keepends=True)
    run.samples_file.write_text("".join(lines[:3]) + lines[3][:20])
    torn = Samples(run, "dpo", prompts)
    assert without_cost(torn.facts_at(5, None, None, is_last=True)) == before[1]
    assert asked == [0, 5, 5]
    assert [line["step"] for line in run.samples()] == [0, 0, 5, 5]
    assert Samples(run, "sft", prompts).known == {}


def test_prompts_are_different_and_leave_room_for_an_answer(base):
    """Said twice, one prompt counts once; one of some 50 tokens leaves no room in 40."""
    texts = ["What is snow?", "What is snow?", "What is snow, " * 10, "What is ice?", "What is rain?"]
    rows = [{"prompt": [{"role": "user", "content": text}], "chosen": []} for text in texts]
    found = fixed_prompts(rows, base.tokenizer, 2, 40)
    assert [prompt[0]["content"] for prompt in found] == ["What is snow?", "What is ice?"]
    assert fixed_prompts(rows, base.tokenizer, 0, 40) == []
    # 1,024 places: 928 tokens and an answer of 96 fill them.
    assert [room_for_prompt(base.model, length) for length in (192, 2048)] == [192, 929]


def shown(stage, step, text, tokens=5, **more):
    prompt = [{"role": "user", "content": "What is <b>snow</b>?"}]
    line = {"stage": stage, "step": step, "prompt": prompt, "answer": text, "tokens": tokens}
    return line | {"hit_limit": False, "repetition": 0.0} | more


def test_the_watch_page_shows_the_start_beside_now():
    samples = [shown("sft", 0, "of SFT"), shown("dpo", 0, "Frozen rain."), shown("dpo", 5, "between")]
    samples.append(shown("dpo", 1200, "Snow, snow, snow", tokens=96, hit_limit=True, repetition=0.25))
    page = samples_html(samples)
    assert page.index("before the first step") < page.index(">Frozen<") < page.index("after step 1,200")
    assert "96 tokens, cut: its end was not reached, 25% repeated" in page
    assert "of SFT" not in page and "between" not in page
    assert "No sample answers yet" in answers_html(Reading(), False, 1)
    assert samples_html([shown("dpo", 0, "Frozen rain.")]).count("wb-lane") == 1


def test_hostile_answers_are_shown_as_text():
    """The prompt and the answer both come from outside."""
    page = samples_html([shown("dpo", 0, "<img src=x onerror=alert(1)>"), shown("dpo", 3, "</div><script>x</script>")])
    assert "&lt;b&gt;snow" in page and "&lt;script&gt;" in page
    assert "<b>" not in page and "<img" not in page and "<script" not in page


def test_new_answers_reach_the_page_and_old_ones_are_not_sent_again():
    run = create_run(demo_config())
    log_samples(run, [shown("dpo", 0, "Frozen rain.")])
    log_numbers(run, "dpo", 0, 4, {"samples/answers": 1.0})
    app = AppState()
    assert "Frozen rain." in watch_page(run.name, app)["wb-watch-samples"]
    again = watch_page(run.name, app, signature(app, run.name))
    assert "wb-watch-samples" not in again and "wb-watch-head" in again
    assert watch_page(None, app)["wb-watch-samples"] == ""


def test_answers_take_at_most_a_25th_of_the_time_and_the_first_and_last_always_come(monkeypatch, capsys):
    """Each takes 2 seconds of a clock of its own; evaluations come every 15, and every 100."""
    now = [0.0]

    def answered(self, step, model, tokenizer):
        now[0] += 2
        return [shown("dpo", step, "x")]

    monkeypatch.setattr(Samples, "_answered", answered)
    shares = {}
    for between in (15, 100):
        run = create_run(demo_config(f"each-{between}"))
        samples = Samples(run, "dpo", [[{"role": "user", "content": "What is <b>snow</b>?"}]], clock=lambda: now[0])
        told = {}
        for step in range(11):
            told[step] = samples.facts_at(step, None, None, is_last=step == 10)
            now[0] += between
        answers = [step for step, facts in told.items() if facts]
        assert answers[0] == 0 and answers[-1] == 10
        assert [one["step"] for one in run.samples()] == answers
        shares[between] = len(answers), told[9 if between == 100 else 10][SAMPLE_SHARE]
    assert shares[100] == (11, pytest.approx(20 / 920, abs=1e-4))
    count, share = shares[15]
    assert 2 < count < 6, "every 15 seconds is too often for 2 seconds"
    assert share == pytest.approx(2 * count / (150 + 2 * count), abs=1e-4)


def test_a_policy_rewards_its_answers_by_itself(one_base):
    """Beta times the log ratio to the base model (Rafailov et al. 2023, section 4): 0 before the first step, then as computed here."""
    run = trained("rewarded", samples=2, own_prompts="What is snow?\n\n  Who are you?  ")
    first, last = run.samples()[:4], run.samples()[4:]
    assert [one["prompt"][0]["content"] for one in first[:2]] == ["What is snow?", "Who are you?"]
    assert not any("implicit_reward" in one for one in first), "there it is 0 by definition"
    config = run.config()
    loaded = load.load_base(config.model)
    tokenizer, ends = loaded.tokenizer, end_tokens(loaded.model, loaded.tokenizer)
    model = PeftModel.from_pretrained(loaded.model, run.adapter).eval()
    assert len(last) == 4
    for start, one in zip(first, last, strict=True):
        for key, given in (("implicit_reward", one), ("implicit_reward_of_start", start)):
            row = written(tokenizer, one["prompt"], given["answer"], not given["hit_limit"], ends, None)
            with_adapter = sum(log_probs(model, tokenizer.pad_token_id, [row])[0])
            with model.disable_adapter():
                without = sum(log_probs(model, tokenizer.pad_token_id, [row])[0])
            assert one[key] == pytest.approx(config.dpo.beta * (with_adapter - without), abs=2e-3)
    assert any(abs(one["implicit_reward"]) > 0.01 for one in last)
    model.unload()


def test_own_prompts_are_few_short_and_told_where_they_are_left_out(base, capsys):
    rows = [{"prompt": [{"role": "user", "content": "What is snow?"}], "chosen": []}] * 2
    own = ["What is snow?", "What is ice?", "What is ice?", "What is snow, " * 10]
    found = fixed_prompts(rows, base.tokenizer, 1, 40, own)
    assert [prompt[0]["content"] for prompt in found] == ["What is snow?", "What is ice?"]
    assert "2 of your own prompts are left out" in capsys.readouterr().out
    with pytest.raises(WorkbenchError, match="has 17 lines; it must be at most 16"):
        read_config(demo_config().model_dump() | {"own_prompts": "\n".join(map(str, range(17)))})


def test_the_film_stands_at_the_newest_evaluation_until_a_person_moves_it():
    lines = [shown("dpo", step, f"answer of step {step}") for step in (0, 4, 8)]
    run = create_run(demo_config())
    film = watch().samples

    def seen(samples, *place):
        updates = film.updates(run, Reading(samples=samples), *place)
        return updates[film.slider]["value"], updates[film.slider]["label"], updates[film.shown]

    place, label, page = seen(lines)
    assert place == 3 and label == "Evaluation 3 of 3: DPO, after step 8"
    assert '<span class="wb-differs">8</span>' in page and '<span class="wb-differs">0</span>' in page
    more = [*lines, shown("dpo", 12, "answer of step 12")]
    assert seen(more, 3, 3)[0] == 4, "it stood at the newest one"
    place, label, page = seen(more, 2, 3)
    assert place == 2 and "after step 4" in label and "answer of step <" in page
    assert seen(more, 1, 4)[1] == "Evaluation 1 of 4: DPO, before the first step"
    assert seen(lines[:1], 1, 1)[0] == 1 and seen([], 1, 0)[2].count("No sample answers yet") == 1
    assert evaluations([shown("sft", 0, ""), *lines]) == [("sft", 0), ("dpo", 0), ("dpo", 4), ("dpo", 8)]


def test_what_answers_cost_and_what_they_are_worth_is_shown():
    rows = [{"stage": "dpo", "step": 8, "steps": 8, "time": 1.0, SAMPLE_SHARE: 0.034}]
    lines = [shown("dpo", 0, "Rain."), shown("dpo", 8, "Snow.", implicit_reward=1.25, implicit_reward_of_start=-0.5)]
    page = answers_html(Reading(log=RunLog.of(rows), samples=lines), False, 2)
    assert "Answering took 3.4% of the time" in page
    assert "implicit reward +1.25" in page and "implicit reward now −0.50" in page
