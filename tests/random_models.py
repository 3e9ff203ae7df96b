"""Models of random weights with the demo's tokenizer, and runs on them whose adapters nobody trained."""

import shutil
from pathlib import Path

from configs import demo_config
from made_runs import create_run

from workbench.core.training.recipe import adapter_arguments
from workbench.store.home import shipped
from workbench.store.runs import Run


def random_qwen3(folder: Path, template: str = "", layers: int = 2, hidden: int = 64, vocabulary: int = 1536) -> Path:
    """A Qwen3 whose logits spread as those of trained models do: over some 4 nats, not over hundredths.

    template: a chat template in place of the demo's.
    """
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(17)
    sizes = {
        "hidden_size": hidden,
        "intermediate_size": 3 * hidden,
        "num_hidden_layers": layers,
        "head_dim": hidden // 4,
    }
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=vocabulary, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=1024,
            tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0, **sizes,
        )
    )  # fmt: skip
    model.lm_head.weight.data.normal_(std=4 / hidden**0.5)
    model.to(torch.bfloat16).save_pretrained(folder)
    for file in (shipped("assets") / "demo" / "model").iterdir():
        if file.name.startswith("tokenizer") or file.suffix == ".jinja":
            shutil.copy2(file, folder / file.name)
    if template:
        (folder / "chat_template.jinja").write_text(template)
    return folder


def random_run(name: str, model: Path, strength: float = 0.02, **changes) -> Run:
    """A finished run on a model in a folder. strength: standard deviation of the entries of B, which training begins with 0."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    ref = {"source": "folder", "name": str(model)}
    run = create_run(demo_config(name, method="dpo", sft_data=None, model=ref, **changes))
    config = run.config()
    torch.manual_seed(5)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    adapted = get_peft_model(base, LoraConfig(**adapter_arguments(config.adapter)))
    for weight_name, weight in adapted.named_parameters():
        if "lora_B" in weight_name:
            weight.data.normal_(std=strength)
    adapted.peft_config["default"].base_model_name_or_path = "a-base"
    adapted.save_pretrained(run.adapter, save_embedding_layers=False)
    run.write_environment({"precision": "nf4", "plan": {}})
    run.write_result("finished", "Finished.")
    return run
