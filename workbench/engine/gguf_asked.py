"""A GGUF asked through llama-cpp-python, and its answers held against those of the model that it was made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from workbench.core.data.messages import Message
from workbench.core.export.exported import ASKED, Check

MOST = 48
"""Tokens of an answer."""

LIMITS = {"f16": 0.01, "bf16": 0.01, "q8_0": 0.02}
"""Mean divergence from the merged model in nats per token. llama.cpp computes with activations in 8 or 16 bits. What fewer bits
change depends on the model: it is told, and has no limit."""


def answer_checks(file: Path, model: Path, kind: str, prompts: Sequence[list[Message]]) -> list[Check]:
    """How prompts are cut into tokens, and how close the answers are. Nothing where memory would not hold both models."""
    size = sum(one.stat().st_size for one in model.glob("*.safetensors"))
    if 4 * size > psutil.virtual_memory().available:
        return []
    import llama_cpp
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False, local_files_only=True)
    merged = AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.float32, trust_remote_code=False, local_files_only=True
    ).eval()
    texts = [tokenizer.apply_chat_template(one, tokenize=False, add_generation_prompt=True) for one in prompts]
    asked = [tokenizer(text, add_special_tokens=False).input_ids for text in texts]
    answers = [_answer(merged, one) for one in asked]
    room = max(len(one) for one in asked) + MOST + 8
    engine = llama_cpp.Llama(str(file), n_ctx=room, logits_all=True, n_gpu_layers=0, verbose=False)
    same, alike, apart = 0, 0, []
    for text, prompt, answer in zip(texts, asked, answers, strict=True):
        same += _read(engine, text, tokenizer.bos_token) == prompt
        alike += _engine_answer(engine, prompt, tokenizer.eos_token_id) == answer
        apart.append(_divergence(engine, merged, prompt, answer))
    mean, most = float(torch.cat(apart).mean()), LIMITS.get(kind)
    engine.close()
    return [
        Check(
            "Tokens of prompts",
            f"{same} of {len(texts)} as llama.cpp cuts them are those of training",
            same == len(texts),
        ),
        Check(
            ASKED,
            f"{alike} of {len(texts)} greedy answers are the merged model's, token for token; {mean:.2g} nats per token apart, "
            + (f"at most {most:g}" if most else f"which is what {kind} costs, and has no limit"),
            mean <= most if most else None,
        ),
    ]


def _read(engine: Any, text: str, bos: str | None) -> list[int]:
    """The tokens of a conversation as an engine makes them: it takes a written beginning off where it puts one before it."""
    adds = engine.metadata.get("tokenizer.ggml.add_bos_token") == "true"
    found: list[int] = engine.tokenize(
        (text.removeprefix(bos or "") if adds else text).encode(), add_bos=True, special=True
    )
    return found


def _answer(merged: Any, prompt: list[int]) -> list[int]:
    """The merged model's likeliest tokens, with the end."""
    import torch

    with torch.inference_mode():
        made = merged.generate(
            torch.tensor([prompt]),
            do_sample=False,
            max_new_tokens=MOST,
            attention_mask=torch.ones(1, len(prompt)).long(),
        )
    found: list[int] = made[0, len(prompt) :].tolist()
    return found


def _engine_answer(engine: Any, prompt: list[int], end: int) -> list[int]:
    """llama.cpp's likeliest tokens, with the end."""
    engine.reset()
    engine.eval(prompt)
    found: list[int] = []
    while len(found) < MOST and (not found or found[-1] != end):
        found.append(int(engine.scores[engine.n_tokens - 1].argmax()))
        engine.eval(found[-1:])
    return found


def _divergence(engine: Any, merged: Any, prompt: list[int], answer: list[int]) -> Any:
    """KL(merged || llama.cpp) in nats at each token of the merged model's answer."""
    import torch

    whole = prompt + answer
    with torch.inference_mode():
        wanted = merged(torch.tensor([whole])).logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)
    engine.reset()
    engine.eval(whole)
    found = torch.from_numpy(engine.scores[len(prompt) - 1 : len(whole) - 1].copy()).float().log_softmax(-1)
    return (wanted.exp() * (wanted - found)).sum(-1)
