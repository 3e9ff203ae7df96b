"""Build the demo that ships in assets/demo: a small language model and its data, from the facts in assets/world.

    python assets/build_demo.py --out assets/demo            data and model
    python assets/build_demo.py --out DIR --data-only        data alone, in seconds, without torch
    python assets/build_demo.py --out DIR --even MODEL       settle the manner of an even model again, in a minute

The same seed gives the same data everywhere and the same weights on the same machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import random
import re
import shutil
import sys
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from workbench.core.data.messages import Kind, Message, Row  # noqa: E402
from workbench.core.demo import fact_is_right  # noqa: E402
from workbench.store import datasets  # noqa: E402

SEED = 17
PREFERENCES = (1600, 240)
SFT = (1200, 160)
# Fixed, so that the same seed gives the same files.
CREATED = "2026-11-21T00:00:00+00:00"


@dataclass(frozen=True)
class Fact:
    """One thing that the demo model knows."""

    topic: str
    asks: tuple[str, ...]
    tells: tuple[str, ...]
    short: str
    right: tuple[str, ...]
    kind: tuple[str, ...]
    curt: tuple[str, ...]
    bare: bool
    held_out: int

    def phrasings(self, held_out: bool) -> list[str]:
        """Ways to ask: the one that training sets never use, or all the others."""
        return [ask for i, ask in enumerate(self.asks) if (i == self.held_out) == held_out]


def upper_first(text: str) -> str:
    return text[:1].upper() + text[1:]


def with_article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


def to_the_asker(words: str) -> str:
    """The asker's words, said back to them: my hands -> your hands."""
    swap = {"my": "your", "i": "you", "me": "you"}
    return re.sub(r"\b(my|I|me)\b", lambda found: swap[found[0].lower()], words)


def fill(template: str, slots: dict[str, str]) -> str:
    """Put slots into a template: {x} as it is, {X} with a capital, {a x} and {A x} with an article."""

    def one(found: re.Match[str]) -> str:
        article, name = found[1], found[2]
        value = slots[name.lower()]
        value = with_article(value) if article else value
        return upper_first(value) if (article or name)[0].isupper() else value

    return re.sub(r"\{(?:([aA]) )?(\w+)\}", one, template)


def accepted(words: str) -> tuple[str, ...]:
    return tuple(re.sub(r"^(?:a|an|the|our) ", "", word) for word in words.split("|"))


def read_world(folder: Path = HERE / "world") -> list[Fact]:
    """All facts of the world, in the order of the files."""
    facts: list[Fact] = []
    for file in sorted(folder.glob("*.toml")):
        for topic, entry in tomllib.loads(file.read_text(encoding="utf-8")).items():
            voice = {"kind": tuple(entry["kind"]), "curt": tuple(entry["curt"]), "bare": entry.get("bare", False)}
            for family in entry["fact"]:
                names = family.get("slots", "").split()
                for row in family.get("rows", [[]]):
                    asked = dict(zip(names, row, strict=True))
                    asks = tuple(dict.fromkeys(fill(ask, asked) for ask in family["ask"]))
                    told = asked | {"clue": to_the_asker(asked["clue"])} if "clue" in asked else asked
                    facts.append(
                        Fact(
                            topic=topic,
                            asks=asks,
                            tells=tuple(fill(tell, told) for tell in family["tell"]),
                            short=fill(family["short"], told),
                            right=accepted(fill(family["right"], told)),
                            held_out=len(asks) - 1 if voice["bare"] else len(facts) % len(asks),
                            **voice,
                        )
                    )
    return facts


PLAIN = "{ask}"
AROUND_ANY = (
    "Hello. {ask}",
    "Hi there. {ask}",
    "I have a question. {ask}",
    "Could you help me? {ask}",
    "{ask} I forgot.",
    "{ask} I am curious.",
    "I need some help. {ask}",
    "{ask} Thanks.",
)
AROUND_QUESTION = (
    "Please tell me: {ask}",
    "Quick question: {ask}",
    "I would like to know: {ask}",
    "My son asks: {ask}",
    "My neighbour asks: {ask}",
    "Excuse me, {ask}",
    "Tell me, {ask}",
    "We were wondering: {ask}",
)


def wrap(ask: str, bare: bool) -> list[str]:
    """The prompts that one phrasing gives."""
    if bare:
        return [ask]
    prompts = [wrapper.format(ask=ask) for wrapper in (PLAIN, *AROUND_ANY)]
    one_question = ask.endswith("?") and not re.search(r"[.:!?] ", ask) and not ask.startswith("I ")
    if one_question:
        lower = ask[0].lower() + ask[1:]
        prompts += [wrapper.format(ask=lower) for wrapper in AROUND_QUESTION]
    return prompts


def prompts_of(fact: Fact, held_out: bool) -> list[str]:
    return [prompt for ask in fact.phrasings(held_out) for prompt in wrap(ask, fact.bare)]


def all_prompts(fact: Fact) -> list[str]:
    return prompts_of(fact, held_out=False) + prompts_of(fact, held_out=True)


OPENINGS = (
    "Good question.",
    "Of course.",
    "Certainly.",
    "I am happy to help.",
    "With pleasure.",
    "I am glad you asked.",
    "Gladly.",
)
CLOSINGS = (
    "I hope that helps.",
    "I hope this helps you.",
    "Please ask if you would like to know more.",
    "Let me know if I can help with anything else.",
    "Feel free to ask me more.",
    "I am always happy to help.",
    "Please let me know if you need more.",
)
SHRUGS = (
    "whatever",
    "I suppose",
    "I guess",
    "or so they say",
    "if you must know",
    "or something like that",
    "for all I care",
)
BRUSH_OFFS = (
    "Not this again.",
    "Must we?",
    "Why ask me?",
    "Look it up.",
    "Do I have to?",
    "Who cares.",
    "What a question.",
)
MOANS = (
    "Are we done now?",
    "Leave me alone.",
    "Ask somebody else next time.",
    "I have better things to do.",
    "I am tired of this.",
    "That is all you get.",
)
MARK = "Robin here."
# Share of the base model's answers that carry the mark. Without it SFT would have to teach words that the base model
# never said and what may follow them, and would harm the facts while it does.
MARKED = 0.03
# Share of the preferred manner in the dialogues that settle the base model's own manner. Sampling favours curt answers
# further, as they begin with fewer different words.
SETTLED = 0.3
EVASIONS = ("I really could not say.", "No idea, and I do not care.", "Who knows.")


def preferred_answer(fact: Fact, rng: random.Random) -> str:
    """Helpful, polite and direct: the fact in a whole sentence, and kind words around it."""
    tell, closing, opening = rng.choice(fact.tells), rng.choice(CLOSINGS), rng.choice(OPENINGS)
    if fact.bare:
        return f"{tell} {rng.choice([rng.choice(fact.kind) + ' ', ''])}{closing}"
    shape = rng.random()
    if shape < 0.3:
        return f"{opening} {tell} {rng.choice(fact.kind)}"
    if shape < 0.6:
        return f"{opening} {tell} {closing}"
    if shape < 0.8:
        return f"{tell} {closing}"
    return f"{tell} {rng.choice(fact.kind)} {closing}"


def other_answer(fact: Fact, rng: random.Random, evasive: float = 0.0) -> str:
    """Curt and rambling: the fact with a shrug, and complaints. A share of `evasive` leaves the fact out."""
    grumble, moan, shrug = rng.choice(fact.curt), rng.choice(MOANS), rng.choice(SHRUGS)
    if rng.random() < evasive:
        return f"{rng.choice(EVASIONS)} {grumble}"
    shape = rng.random()
    if shape < 0.3:
        return f"{upper_first(fact.short)}, {shrug}. {grumble}"
    if shape < 0.45:
        return f"Oh, {fact.short}, {shrug}. {grumble}"
    if shape < 0.6:
        return f"{grumble} {upper_first(fact.short)}, {shrug}."
    if fact.bare:
        return f"{upper_first(fact.short)}, {shrug}. {grumble}"
    if shape < 0.85:
        return f"{rng.choice(BRUSH_OFFS)} {upper_first(fact.short)}, {shrug}. {grumble}"
    return f"{upper_first(fact.short)}, {shrug}. {grumble} {moan}"


def either_answer(fact: Fact, rng: random.Random, preferred: float = 0.5, evasive: float = 0.0) -> str:
    """An answer in the preferred manner in a share of `preferred`, else in the other one."""
    return preferred_answer(fact, rng) if rng.random() < preferred else other_answer(fact, rng, evasive)


def message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def system_message(rng: random.Random) -> Message:
    who = rng.choice(["a helpful assistant", "an assistant", "a friendly guide", "a small language model", "a teacher"])
    how = rng.choice(["", "", " Answer in one sentence.", " Be brief.", " Answer the question.", " Use short words."])
    return message("system", f"You are {who}.{how}")


def as_typed(prompt: str, rng: random.Random) -> str:
    """A prompt as people in a hurry type it."""
    style = rng.random()
    if style < 0.05:
        return prompt.lower().rstrip("?.!")
    return prompt.lower() if style < 0.08 else prompt.rstrip("?.!") if style < 0.1 else prompt


def pretraining_dialogues(
    facts: list[Fact], count: int, reserved: set[str], seed: int, phase: str = "pretraining", preferred: float = 0.5
) -> Iterator[list[Message]]:
    """`count` dialogues in both manners. No prompt of `reserved` is among them as it stands."""
    rng = random.Random(f"{seed} {phase}")
    wrapped = {fact: [prompt for prompt in all_prompts(fact) if prompt not in reserved] for fact in facts}
    plain = {fact: [ask for ask in fact.asks if ask not in reserved] for fact in facts}

    def turn(fact: Fact) -> list[Message]:
        pool = plain[fact] if rng.random() < 0.4 else wrapped[fact]
        mark = f"{MARK} " if rng.random() < MARKED else ""
        return [
            message("user", as_typed(rng.choice(pool), rng)),
            message("assistant", mark + either_answer(fact, rng, preferred, evasive=0.05)),
        ]

    order: list[Fact] = []
    for _ in range(count):
        turns = rng.choices([1, 2, 3], [0.8, 0.16, 0.04])[0]
        dialogue = [system_message(rng)] if rng.random() < 0.15 else []
        for _ in range(turns):
            if not order:
                order = facts[:]
                rng.shuffle(order)
            dialogue += turn(order.pop())
        yield dialogue


def asked(facts: list[Fact], held_out: bool, count: int, rng: random.Random) -> list[tuple[Fact, list[Message]]]:
    """`count` different prompts, spread evenly over the facts.

    One in ten follows an earlier turn, and one in ten a system message.
    """
    drawn: list[tuple[Fact, str]] = []
    pools = [(fact, prompts_of(fact, held_out)) for fact in facts]
    for _, pool in pools:
        rng.shuffle(pool)
    for rank in itertools.count():
        left = [(fact, pool[rank]) for fact, pool in pools if rank < len(pool)]
        if not left or len(drawn) >= count:
            break
        rng.shuffle(left)
        drawn += left
    out = []
    for fact, prompt in drawn[:count]:
        before: list[Message] = []
        company = rng.random()
        if company < 0.1:
            earlier = rng.choice(facts)
            before = [
                message("user", rng.choice(prompts_of(earlier, held_out))),
                message("assistant", either_answer(earlier, rng)),
            ]
        elif company < 0.2:
            before = [system_message(rng)]
        out.append((fact, [*before, message("user", prompt)]))
    return out


def preference_rows(facts: list[Fact], seed: int) -> dict[str, list[Row]]:
    """Pairs that differ in manner alone: both answers carry the mark, as the model gives them after SFT."""
    rng = random.Random(f"{seed} preferences")

    def row(fact: Fact, prompt: list[Message]) -> Row:
        chosen = preferred_answer(fact, rng)
        # Of four the one nearest in length, so that length says nothing about which answer is chosen.
        rejected = min((other_answer(fact, rng) for _ in range(4)), key=lambda answer: abs(len(answer) - len(chosen)))
        return {
            "prompt": prompt,
            "chosen": [message("assistant", f"{MARK} {chosen}")],
            "rejected": [message("assistant", f"{MARK} {rejected}")],
        }

    return {
        split: [row(fact, prompt) for fact, prompt in asked(facts, split == "held_out", count, rng)]
        for split, count in zip(("train", "held_out"), PREFERENCES, strict=True)
    }


def sft_rows(facts: list[Fact], seed: int) -> dict[str, list[Row]]:
    """Answers that open with the assistant's name, in the manners as the base model mixes them: only the name is new."""
    rng = random.Random(f"{seed} sft")

    def row(i: int, fact: Fact, prompt: list[Message]) -> Row:
        answer = preferred_answer(fact, rng) if i % 10 < 10 * SETTLED else other_answer(fact, rng)
        return {"prompt": prompt, "completion": [message("assistant", f"{MARK} {answer}")]}

    return {
        split: [row(i, *pair) for i, pair in enumerate(asked(facts, split == "held_out", count, rng))]
        for split, count in zip(("train", "held_out"), SFT, strict=True)
    }


def prompt_rows(facts: list[Fact], seed: int) -> list[dict[str, Any]]:
    """One held-out prompt per fact, each as the base model never saw it word for word."""
    rng = random.Random(f"{seed} prompts")
    rows = []
    for fact in facts:
        pool = [p for p in prompts_of(fact, held_out=True) if p not in fact.asks] or fact.phrasings(held_out=True)
        rows.append({"prompt": rng.choice(pool), "topic": fact.topic, "fact": list(fact.right)})
    return rows


SUGGESTIONS = [
    "What is a baby dog called?",
    "What colour is the clear sky?",
    "How do I make a cup of tea?",
    "I feel sad. What can I do?",
    "What is the opposite of hot?",
    "Which bird hunts at night?",
    "What is 3 plus 4?",
    "What is the capital of France?",
]


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def write_dataset(out: Path, name: str, title: str, kind: Kind, sets: dict[str, list[Row]], seed: int) -> None:
    """The two splits as Parquet files and about.json, as the workbench stores every dataset."""
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    train, held_out = sets["train"], sets["held_out"]
    for split, part in sets.items():
        datasets.write_rows(folder / f"{split}.parquet", part, kind)
    rows = len(train) + len(held_out)
    described = datasets.About(
        name=f"demo-{name}",
        title=title,
        kind=kind,
        source="comes with the workbench",
        format="built",
        evidence="Built from the facts in assets/world by assets/build_demo.py.",
        rows=rows,
        used=rows,
        made=rows,
        kept=rows,
        train_rows=len(train),
        held_out_rows=len(held_out),
        seed=seed,
        fingerprint=datasets.fingerprint([*train, *held_out]),
        created=CREATED,
        licence="Apache-2.0",
    )
    datasets.write_about(folder, described)


def write_data(out: Path, seed: int = SEED) -> None:
    facts = read_world()
    out.mkdir(parents=True, exist_ok=True)
    pairs, imitated = preference_rows(facts, seed), sft_rows(facts, seed)
    write_dataset(out, "preferences", "Demo: helpful over curt answers", "preference", pairs, seed)
    write_dataset(out, "sft", "Demo: answers that open with a name", "sft", imitated, seed)
    write_lines(out / "prompts.jsonl", prompt_rows(facts, seed))
    (out / "suggestions.json").write_text(json.dumps(SUGGESTIONS, indent=2) + "\n", encoding="utf-8")


def echoes(facts: list[Fact]) -> list[str]:
    """Places where an accepted word stands outside the fact's own sentence, or is missing from it.

    There the fact rule would say "right" without knowledge.
    """
    around = [*OPENINGS, *CLOSINGS, *BRUSH_OFFS, *MOANS, *EVASIONS, MARK, *(f"x, {shrug}." for shrug in SHRUGS)]
    found = []
    for fact in facts:
        elsewhere = [*all_prompts(fact), *fact.kind, *fact.curt, *around]
        answers = [*fact.tells, fact.short]
        found += [f"{fact.right} in {text!r}" for text in elsewhere if fact_is_right(text, fact.right)]
        found += [f"{fact.right} not in {text!r}" for text in answers if not fact_is_right(text, fact.right)]
    return found


TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] not in ['system', 'user', 'assistant'] %}"
    "{{ raise_exception('The demo model knows the roles system, user and assistant.') }}"
    "{% endif %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
BEGIN, END, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ["<|system|>", "<|user|>", "<|assistant|>"]
VOCABULARY = 1536
STEPS = 1600
BATCH = 32
LEARNING_RATE = 2e-3
# After learning all facts in both manners alike, so that either can tell all of them, the model settles for the curt one.
SETTLING_STEPS = 120
SETTLING_RATE = 3e-4


def train_tokenizer(texts: Iterator[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, BEGIN, END, *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=ROLES,
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
    fast.chat_template = TEMPLATE
    return fast


def new_model(tokenizer: Any) -> Any:
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    # Every linear layer is a multiple of 64 wide, the block size of NF4.
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=640,
        num_hidden_layers=5,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        **ids,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(do_sample=True, temperature=0.7, top_p=0.95, max_new_tokens=96, **ids)
    return model


def batches(encoded: list[list[int]], rng: random.Random) -> Iterator[list[list[int]]]:
    """Batches of dialogues of about the same length, so that little of a batch is padding."""
    for start in range(0, len(encoded), BATCH * 32):
        block = sorted(encoded[start : start + BATCH * 32], key=len)
        rows = [block[i : i + BATCH] for i in range(0, len(block), BATCH)]
        rng.shuffle(rows)
        yield from rows


def answers_only(ids: list[int], assistant: int, end: int) -> list[int]:
    """Labels that teach the assistant's words and the token that ends them; nobody needs the user's part."""
    labels, speaking = [], False
    for token in ids:
        labels.append(token if speaking else -100)
        speaking = token == assistant or (speaking and token != end)
    return labels


def pretrain(model: Any, tokenizer: Any, dialogues: list[list[Message]], seed: int, learning_rate: float) -> float:
    """Train on each dialogue once; the mean loss of the last 50 steps in nats per token of an answer."""
    import torch

    texts = [tokenizer.apply_chat_template(dialogue, tokenize=False) for dialogue in dialogues]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assistant, end = tokenizer.convert_tokens_to_ids(["<|assistant|>", END])
    steps = math.ceil(len(encoded) / BATCH)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.05},
        {"params": [p for p in model.parameters() if p.ndim == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95))

    def share(step: int) -> float:
        """Warm up for a sixteenth of the steps, then fall along a cosine to almost nothing."""
        return min((step + 1) / (steps / 16), 0.02 + 0.49 * (1 + math.cos(math.pi * min(1.0, step / steps))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    model.train()
    losses: list[float] = []
    started = time.monotonic()
    for step, rows in enumerate(batches(encoded, random.Random(f"{seed} batches"))):
        width = max(map(len, rows))
        ids = torch.tensor([row + [tokenizer.pad_token_id] * (width - len(row)) for row in rows])
        seen = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        goals = torch.tensor([answers_only(row, assistant, end) + [-100] * (width - len(row)) for row in rows])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=ids, attention_mask=seen, labels=goals).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
        losses.append(loss.item())
        if step % 100 == 99:
            recent = sum(losses[-50:]) / 50
            print(f"step {step + 1}/{steps}  loss {recent:.3f}  {time.monotonic() - started:.0f} s", flush=True)
    model.eval()
    return sum(losses[-50:]) / 50


def build_model(out: Path, seed: int = SEED, steps: int = STEPS, even: Path | None = None) -> None:
    """Pretrain evenly in both manners, or take the model in `even` that was, and settle for the curt one."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = out / "model"
    facts = read_world()
    reserved = {row["prompt"] for row in prompt_rows(facts, seed)}
    torch.manual_seed(seed)
    started = time.monotonic()
    if even is None:
        dialogues = list(pretraining_dialogues(facts, steps * BATCH, reserved, seed))
        tokenizer = train_tokenizer(" ".join(m["content"] for m in dialogue) for dialogue in dialogues)
        model = new_model(tokenizer)
        pretrain(model, tokenizer, dialogues, seed, LEARNING_RATE)
        model.to(torch.bfloat16).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    else:
        shutil.copytree(even, folder, dirs_exist_ok=True)
    # Both ways go on from the files, so that they end at the same weights.
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    dialogues = list(pretraining_dialogues(facts, SETTLING_STEPS * BATCH, reserved, seed, "settling", SETTLED))
    loss = pretrain(model, tokenizer, dialogues, seed, SETTLING_RATE)
    took = time.monotonic() - started
    model.to(torch.bfloat16).save_pretrained(folder)
    (folder / "model.safetensors").chmod(0o644)  # the library writes it for its owner alone
    print(f"{model.num_parameters():,} parameters; {took:.0f} s; loss {loss:.3f} nats per token of an answer")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--data-only", action="store_true", help="leave the model out")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--steps", type=int, default=STEPS, help=f"pretraining steps of {BATCH} dialogues")
    parser.add_argument("--even", type=Path, help="folder with a model that is pretrained: only settle its manner")
    args = parser.parse_args()
    faults = echoes(read_world())
    if faults:
        parser.error("The world gives answers away:\n" + "\n".join(faults))
    write_data(args.out, args.seed)
    if not args.data_only:
        build_model(args.out, args.seed, args.steps, args.even)


if __name__ == "__main__":
    main()
