"""Chat templates: where they come from, and the sandbox they run in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.gold.toys import CHATML_JINJA, CHATML_TOKENS, byte_level, chatml_tokenizer, tokenizer

from ingot.errors import GoldError
from ingot.gold.template import ChatTemplate, TemplateRefusalError, TemplateSource, resolve_template
from ingot.gold.tokenizer import TokenizerFiles

NONE = TokenizerFiles(tokenizer=b"{}")


def compiled(source: str) -> ChatTemplate:
    return ChatTemplate(TemplateSource(name="chat.jinja", source=source), chatml_tokenizer())


def test_chatml_is_built_in_and_a_path_is_read(tmp_path: Path) -> None:
    assert resolve_template("chatml", tmp_path, NONE).source is None
    (tmp_path / "chat.jinja").write_text("{{ messages }}é", encoding="utf-8")
    assert resolve_template("chat.jinja", tmp_path, NONE) == TemplateSource(name="chat.jinja", source="{{ messages }}é")


@pytest.mark.parametrize(
    ("config", "jinja", "expected"),
    [
        ({"chat_template": "A"}, b"", "A"),
        ({"chat_template": "A"}, b"B", "B"),
        ({"chat_template": [{"name": "tool_use", "template": "T"}, {"name": "default", "template": "D"}]}, b"", "D"),
    ],
)
def test_the_tokenizers_own_template(config: dict[str, object], jinja: bytes, expected: str, tmp_path: Path) -> None:
    files = TokenizerFiles(tokenizer=b"{}", config=json.dumps(config).encode(), chat_template=jinja)
    assert resolve_template("tokenizer", tmp_path, files).source == expected


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(GoldError, match=r"'llama3'.*No such file") as caught:
        resolve_template("llama3", tmp_path, NONE)
    assert caught.value.code == "E605"
    (tmp_path / "empty.jinja").write_text("\n")
    with pytest.raises(GoldError, match="E605.*it is empty"):
        resolve_template("empty.jinja", tmp_path, NONE)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(GoldError, match="not UTF-8"):
        resolve_template("binary", tmp_path, NONE)
    with pytest.raises(GoldError) as caught:
        resolve_template("tokenizer", tmp_path, NONE)
    assert caught.value.code == "E606"


def test_a_syntax_error_has_its_line() -> None:
    with pytest.raises(GoldError, match=r"chat\.jinja:2") as caught:
        compiled("{{ 1 }}\n{% if %}")
    assert caught.value.code == "E607"


def test_a_template_cannot_read_the_clock_but_may_do_without() -> None:
    assert (
        compiled("{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% else %}fixed{% endif %}").render([], None)
        == "fixed"
    )
    with pytest.raises(GoldError) as caught:
        compiled("{{ strftime_now('%d %b %Y') }}").render([], None)
    assert caught.value.code == "E608"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{{ [1, 2] | random }}", "random"),
        ("{{ lipsum() }}", "undefined"),
        ("{{ messages.append(1) }}", "not safely callable|unsafe"),
        ("{{ messages.__class__.__mro__ }}", "unsafe|undefined"),
        ("{{ None + 'x' }}", "TypeError"),
    ],
)
def test_refusals_and_forbidden_things_are_the_rows_problem(source: str, message: str) -> None:
    with pytest.raises((TemplateRefusalError, GoldError), match=message):
        compiled(source).render([{"role": "user", "content": "x"}], None)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ {'b': 'é<', 'a': 1} | tojson }}", '{"b": "é<", "a": 1}'),
        ("{{ [1] | tojson(indent=1) }}", "[\n 1\n]"),
        ("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}", "01"),
        ("a\n    {% if true %}\nb\n    {% endif %}\nc", "a\nb\nc"),
        ("{{ bos_token }}{{ eos_token }}|{{ tools }}", "|None"),
        ("{% generation %}x{% endgeneration %}", "x"),
    ],
)
def test_rendering_is_that_of_hugging_face(source: str, expected: str) -> None:
    assert compiled(source).render([], None) == expected


def test_the_header_and_terminators_are_learnt_from_the_template() -> None:
    template = compiled(CHATML_JINJA)
    assert template.header == "<|im_start|>assistant\n"
    assert template.terminators == ("<|im_end|>",)
    assert compiled("{% for m in messages %}{{ m.content }}\n{% endfor %}").terminators == ()
    assert compiled("{% for m in messages %}{{ m.content }}\n{% endfor %}").header == ""
    assert compiled("{{ raise_exception('no') }}").header == ""


def test_bos_and_eos_come_from_the_config_or_from_what_the_file_adds() -> None:
    source = TemplateSource(name="t", source="{{ bos_token }}|{{ eos_token }}")
    data = byte_level(CHATML_TOKENS, bos="<|endoftext|>")
    assert (
        ChatTemplate(source, tokenizer(data, eos_token={"content": "<|im_end|>"})).render([], None)
        == "<|endoftext|>|<|im_end|>"
    )
    assert ChatTemplate(source, tokenizer(data, bos_token="<|im_start|>")).render([], None) == "<|im_start|>|"
