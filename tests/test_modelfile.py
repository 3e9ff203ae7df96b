"""The chat template of training as Ollama's template in Go: learnt from what it writes, and held against it."""

import jinja2
import pytest
from jinja2.sandbox import SandboxedEnvironment

from workbench.core.export.modelfile import TRIED, Template, modelfile, ollama_template, render_go
from workbench.core.export.pretokenizers import pretokenizer
from workbench.store.home import shipped

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WITH_A_DEFAULT = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are Qwen.<|im_end|>\n{% endif %}" + CHATML
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n{{ m.content | trim }}<|eot_id|>"
    "{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set first = messages[0].content + '\n\n' %}{% set rest = messages[1:] %}"
    "{% else %}{% set first = '' %}{% set rest = messages %}{% endif %}{% for m in rest %}<start_of_turn>"
    "{{ 'model' if m.role == 'assistant' else m.role }}\n{{ first if loop.first else '' }}{{ m.content }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% elif m.role == 'user' %}"
    "[INST] {{ m.content }} [/INST]{% else %} {{ m.content }}</s>{% endif %}{% endfor %}"
)
BOS = "<s>"


def rendering(source: str):
    """What Jinja makes of conversations, as in training."""
    environment = SandboxedEnvironment()

    def refuse(words):
        raise jinja2.TemplateError(words)

    template = environment.from_string(
        source, globals={"raise_exception": refuse, "bos_token": BOS, "eos_token": "</s>"}
    )

    def render(turns):
        try:
            messages = [{"role": role, "content": content} for role, content in turns]
            return template.render(messages=messages, add_generation_prompt=True)
        except jinja2.TemplateError:
            return None

    return render


def of(source: str, end: str = "<|im_end|>") -> Template:
    return ollama_template(source, rendering(source), BOS, end)


def demo() -> str:
    return (shipped("assets") / "demo" / "model" / "chat_template.jinja").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("source", "end", "tried", "has_bos"),
    [
        (CHATML, "<|im_end|>", 6, False),
        (WITH_A_DEFAULT, "<|im_end|>", 6, False),
        (LLAMA3, "<|eot_id|>", 6, True),
        (GEMMA, "<end_of_turn>", 6, True),
        (MISTRAL, "</s>", 4, True),
        (demo(), "</s>", 6, True),
    ],
    ids=["chatml", "default system", "llama 3", "gemma", "mistral", "demo"],
)
def test_both_templates_write_the_same_of_every_conversation(source, end, tried, has_bos):
    found, render = of(source, end), rendering(source)
    assert (found.tried, found.begins_with_bos, found.why) == (tried, has_bos, "")
    # Longer than any that it was learnt from or tried on.
    turns = [
        ("user", "1"),
        ("assistant", "2"),
        ("user", "3 {{"),
        ("assistant", '"""'),
        ("user", "5"),
        ("assistant", "6"),
        ("user", "7"),
    ]
    before = BOS if has_bos else ""
    assert render(turns) == before + render_go(found.text, turns)


def test_a_template_in_go_reads_as_one():
    assert of(CHATML).text.splitlines() == [
        r'{{ if .System }}{{ "<|im_start|>system\n" }}{{ .System }}{{ "<|im_end|>\n" }}{{ end }}{{ range .Messages }}',
        r'{{- if eq .Role "user" }}{{ "<|im_start|>user\n" }}{{ .Content }}{{ "<|im_end|>\n<|im_start|>assistant\n" }}',
        r'{{- else if eq .Role "assistant" }}{{ .Content }}{{ "<|im_end|>\n" }}',
        r"{{- end }}",
        r"{{- end }}",
    ]


def test_a_default_system_message_gives_way_to_one_that_is_there():
    text = of(WITH_A_DEFAULT).text
    assert "You are Qwen." in render_go(text, [("user", "A?")])
    said = render_go(text, [("system", "Be brief."), ("user", "A?")])
    assert "You are Qwen." not in said and said.startswith("<|im_start|>system\nBe brief.<|im_end|>\n")


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{% for m in messages %}{{ loop.index }} {{ m.content }}{% endfor %}", "comes out otherwise"),
        ("{% for m in messages %}<{{ m.role }}>{{ m.content | upper }}{% endfor %}", "depends on more than the role"),
        ("{% for m in messages %}<{{ m.role }}>{{ m.content | replace('A', 'B') }}{% endfor %}", "comes out otherwise"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}{{ messages | length }}", "depends on more than the role"),
        ("{% for m in messages[-1:] %}{{ m.content }}{% endfor %}", "depends on more than the role"),
        ("{{ strftime_now('%d') }}" + CHATML, "the date of the day"),
        ("{{ raise_exception('never') }}", "depends on more than the role"),
    ],
)
def test_what_go_cannot_say_is_left_out_with_the_reason(source, why):
    found = of(source)
    assert not found.text and why in found.why
    assert "TEMPLATE" not in modelfile("a.gguf", found, ["</s>"])


def test_what_ollama_does_otherwise_is_told():
    assert of(MISTRAL, "</s>").notes == ("The template of training knows no system message: Ollama leaves one out.",)
    assert of(LLAMA3).notes == ("The template of training strips the space around a message, Ollama's does not.",)
    assert of(CHATML).notes == ()


def test_a_modelfile_names_the_file_the_template_and_the_ends():
    found = Template("{{ range .Messages }}{{ .Content }}{{ end }}")
    assert modelfile("run-f16.gguf", found, ["<|im_end|>"]) == (
        'FROM ./run-f16.gguf\n\nTEMPLATE """{{ range .Messages }}{{ .Content }}{{ end }}"""\n\nPARAMETER stop "<|im_end|>"\n'
    )


def test_no_sign_of_a_chat_template_ends_the_modelfiles_quotes():
    found = of('<""">' + CHATML)
    assert found.text and '"""' not in found.text
    assert render_go(found.text, [("user", "A?")]).startswith('<""">')


@pytest.mark.parametrize(
    "template",
    [
        "{{ .Prompt }}",
        "{{ if .System }}a",
        "{{ end }}",
        "{{ range .Tools }}{{ end }}",
        "{{ .Content",
        "{{ if eq .System 1 }}{{ end }}",
    ],
)
def test_the_interpreter_refuses_what_it_does_not_know(template):
    with pytest.raises((ValueError, KeyError)):
        render_go(template, [("user", "A?")])


def test_the_interpreter_follows_go_by_hand():
    text = 'a \n{{- if .System }}<{{ .System }}>{{ else }}none{{ end }}{{ range .Messages }} {{ .Content }}{{ end }}{{ "\\n" }}z'
    assert render_go(text, [("user", "x"), ("assistant", "y")]) == "anone x y\nz"
    assert render_go(text, [("system", "s"), ("system", "t"), ("user", "x")]) == "a<s\n\nt> s t x\nz"
    assert render_go(text, []) == "anone\nz"


def test_conversations_that_a_template_is_tried_on_end_with_a_question():
    assert len(TRIED) > 5 and all(turns[-1][0] == "user" for turns in TRIED)


def bytes_level(**changes):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True} | changes


def test_a_tokenizers_rule_is_known_by_what_it_is():
    gpt2 = {"model": {"type": "BPE"}, "normalizer": None, "pre_tokenizer": bytes_level()}
    qwen = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    split = {"type": "Split", "pattern": {"Regex": qwen}, "behavior": "Isolated", "invert": False}
    qwen2 = {"type": "Sequence", "pretokenizers": [split, bytes_level(use_regex=False)]}
    assert pretokenizer(gpt2) == "gpt-2"
    assert pretokenizer(gpt2 | {"pre_tokenizer": qwen2, "normalizer": {"type": "NFC"}}) == "qwen2"
    llama = split | {"pattern": {"Regex": qwen.replace(r"\p{N}|", r"\p{N}{1,3}|")}}
    llama3 = {"type": "Sequence", "pretokenizers": [llama, bytes_level(use_regex=False)]}
    assert pretokenizer({"model": {"type": "BPE", "ignore_merges": True}, "pre_tokenizer": llama3}) == "llama-bpe"
    assert pretokenizer({"model": {"type": "BPE"}, "pre_tokenizer": llama3}) == "", "llama.cpp takes whole words first"
    assert pretokenizer(gpt2 | {"pre_tokenizer": bytes_level(add_prefix_space=True)}) == ""
    assert pretokenizer(gpt2 | {"normalizer": {"type": "Lowercase"}}) == ""
    assert pretokenizer(gpt2 | {"pre_tokenizer": {"type": "Whitespace"}}) == ""
    assert pretokenizer({"model": {"type": "Unigram"}}) == pretokenizer({}) == ""
