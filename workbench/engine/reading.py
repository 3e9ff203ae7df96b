"""How trainers read answers: hidden states of the tokens asked about, and from them log-probabilities, never all logits."""

import contextlib
from collections.abc import Mapping
from typing import Any

import torch

from workbench.engine.answer_pass import OutputLayer, computing_type, output_layer, read_rows, read_tokens
from workbench.engine.packed_rows import Packed, arrange, batch_of, is_worth, pack, shape_if_packed

IGNORED = -100  # label of a token that is not trained on

# Two ways to the same log-probabilities round differently; a factor that was forgotten makes another size of difference.
_SAME = 0.25  # nats; logits of 30 in bf16 lie .125 apart


class Reader:
    """Reads batches with a model and its adapters as they are at that moment.

    model: a PeftModel or a causal language model. pairs: whether the batches are pairs, chosen answers first, of which what both
    begin with may be read once. max_length: tokens of the longest row. Counts for `facts` how batches were read.
    """

    def __init__(self, model: Any, max_length: int | None, pairs: bool):
        self._inner, self._pairs = inner(model), pairs
        self._shape, self.why_not = shape_if_packed(self._inner, max_length or 2**31)
        self._batches = self._packed = 0
        self._plain_tokens = self._tokens = 0

    @property
    def layer(self) -> OutputLayer:
        return output_layer(self._inner)

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The last hidden states, shape (rows, tokens, features); those at padding mean nothing. ids, mask: (rows, tokens)."""
        return self.read(getattr(self._inner, self._inner.base_model_prefix), ids, mask)

    def read(self, body: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """As `hidden`, with a model that ends in hidden states."""
        self._batches += 1
        self._plain_tokens += ids.numel()
        if (packed := self._pack(ids, mask, computing_type(ids.device, body.dtype))) is None:
            self._tokens += ids.numel()
            states: torch.Tensor = body(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            return states
        self._packed += 1
        self._tokens += packed.ids.numel()
        found = body(input_ids=packed.ids, attention_mask=packed.mask, position_ids=packed.positions, use_cache=False)
        return packed.apart(found.last_hidden_state)

    def _pack(self, ids: torch.Tensor, mask: torch.Tensor, dtype: torch.dtype) -> Packed | None:
        """The batch in packed rows; None where that is not possible, or computes no less."""
        if self._shape and (batch := batch_of(ids, mask, self._pairs)):
            layout = arrange(batch.sizes())
            if is_worth(batch, layout, self._shape):
                return pack(ids, batch, layout, dtype)
        return None

    def facts(self) -> dict[str, Any]:
        """For environment.json: batches that were read, those of them in packed rows, why none may be, and the tokens that were
        computed beside those of ordinary rows with their padding."""
        found: dict[str, Any] = {"batches": self._batches, "packed": self._packed, "pairs": self._pairs}
        found |= {"tokens": self._tokens, "padded_tokens": self._plain_tokens}
        return found | ({"why_not": self.why_not} if self.why_not else {})


def inner(model: Any) -> Any:
    """The model of Transformers, with the layers of its adapters, without what PEFT puts around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def knows_output_layer(model: Any) -> bool:
    """Whether the model's own logits are those that follow from its output layer as `answer_pass` reads it.

    A family may do more to them than is known here; asked of a few tokens.
    """
    found = inner(model)
    device = next(found.parameters()).device
    ids = torch.arange(8, device=device).unsqueeze(0) % found.config.get_text_config().vocab_size
    with torch.no_grad(), contextlib.suppress(AttributeError, TypeError, RuntimeError):
        own = found(input_ids=ids, use_cache=False).logits[0, :-1].float().log_softmax(-1)
        states = getattr(found, found.base_model_prefix)(input_ids=ids, use_cache=False).last_hidden_state[0, :-1]
        read = read_tokens(states, ids[0, 1:], output_layer(found)).log_probs
        return bool((own.gather(1, ids[0, 1:].unsqueeze(1)).squeeze(1) - read).abs().max() < _SAME)
    return False


def without_logits(trainer_class: type, pairs: bool) -> type:
    """A DPO or KTO trainer that never holds the logits of a batch. pairs: see Reader.

    TRL has such a path, for which it wants Triton: it asks one method for log-probabilities, which this one answers in another
    way. Its column of mean logits is not there on that path; how often the chosen token was the likeliest is kept.
    """

    class Reading(trainer_class):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any):
            super().__init__(*arguments, **named)
            self.reader: Reader | None = None
            # And no more of what was read: log-probabilities would keep the step's activations.
            self._likeliest: torch.Tensor | None = None
            if knows_output_layer(self.model):
                self.reader = Reader(self.model, self.args.max_length, pairs)
                self.use_liger_kernel = True  # TRL's name of the path

        def _compute_loss(self, model: Any, inputs: Mapping[str, Any], return_outputs: bool) -> Any:
            self._likeliest = None
            found = super()._compute_loss(model, inputs, return_outputs)
            if self._likeliest is not None and pairs:
                right, asked = (part.chunk(2)[0] for part in (self._likeliest, inputs["completion_mask"][:, 1:]))
                share = right.sum() / asked.sum().clamp(min=1)
                self._metrics["train" if self.model.training else "eval"]["mean_token_accuracy"].append(share.item())
            return found

        def _get_per_token_logps_and_entropies(
            self, model: Any, model_kwargs: dict[str, Any], input_ids: torch.Tensor, completion_mask: torch.Tensor
        ) -> tuple[torch.Tensor, torch.Tensor, Any]:
            assert self.reader, "only asked where the path is taken"
            with self.accelerator.autocast():
                hidden = self.reader.hidden(input_ids, model_kwargs["attention_mask"])
                found = read_rows(hidden, input_ids, completion_mask[:, 1:], self.reader.layer)
            if self._likeliest is None:  # the policy is read first; what its reference says is no news
                self._likeliest = found.likeliest
            return found.log_probs, found.entropies, None

    return Reading


def imitating_without_logits(trainer_class: type) -> type:
    """An ORPO or SimPO trainer of engine/experimental.py that never holds the logits of a batch."""

    class Reading(trainer_class):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any):
            super().__init__(*arguments, **named)
            self.reader = Reader(self.model, self.max_length, pairs=True) if knows_output_layer(self.model) else None

        def concatenated_forward(self, model: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, ...]:
            """Mean log-probabilities of chosen and rejected answers, nothing in place of their logits, the loss of imitation."""
            if self.reader is None:
                return super().concatenated_forward(model, batch)  # type: ignore[no-any-return]
            padding, device = self.processing_class.pad_token_id, self.accelerator.device
            both = self.concatenated_inputs(batch, padding_value=padding, device=device)
            ids, mask = both["concatenated_input_ids"], both["concatenated_attention_mask"]
            answer = both["concatenated_labels"][:, 1:] != IGNORED
            pairs = len(answer) // 2
            # TRL takes ORPO's loss of imitation over prompt and answer; that of CPO has no weight in SimPO.
            imitates = not hasattr(self, "cpo_alpha")
            imitated = mask[:pairs, 1:].bool() if imitates else torch.zeros_like(answer[:pairs])
            with self.accelerator.autocast():
                hidden = self.reader.hidden(ids, mask)
                asked = torch.cat([imitated | answer[:pairs], answer[pairs:]])
                found = read_rows(hidden, ids, asked, self.reader.layer).log_probs
            means = (found * answer).sum(1) / answer.sum(1)
            imitation = -found[:pairs][imitated].mean() if imitates else found.new_zeros(())
            nothing = found.new_full((1,), float("nan"))
            return means[:pairs], means[pairs:], nothing, nothing, imitation

        def get_batch_loss_metrics(self, *arguments: Any, **named: Any) -> tuple[torch.Tensor, dict[str, Any]]:
            """Without the mean logits, which are not known; a mean over a whole vocabulary says nothing of an answer."""
            loss, metrics = super().get_batch_loss_metrics(*arguments, **named)
            return loss, {
                name: value for name, value in metrics.items() if self.reader is None or "logits/" not in name
            }

    return Reading


def scoring_prompts_once(trainer_class: type) -> type:
    """A trainer of reward models that reads the prompt of a pair once, where that computes less."""

    class Reading(trainer_class):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **named: Any):
            super().__init__(*arguments, **named)
            self.reader = Reader(self.model, self.args.max_length, pairs=True)
            self.read = self.reader.read

    return Reading
