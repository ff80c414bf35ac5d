"""Strict YAML: what is refused, and that every refusal names its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from ingot.core.yamlfile import parse_yaml, read_yaml
from ingot.errors import ConfigError


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    minimum: int


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    inner: Inner


@pytest.mark.parametrize(
    ("text", "where", "part"),
    [
        ("a: 1\na: 2\n", "f.yaml:2:1", "duplicate key"),
        ("a: &x [1]\nb: *x\n", "f.yaml:1:4", "anchor"),
        ("a: !!int '3'\n", "f.yaml:1:4", "tag"),
        ("a: 2026-01-01\n", "f.yaml:1:1", "2026-01-01"),
        ("a:\n  1: x\n", "f.yaml:2:3", "not text"),
        ("a: [1\n", "f.yaml:2:1", "YAML"),
    ],
)
def test_refused(text: str, where: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml")
    assert caught.value.code == "E101"
    assert caught.value.where == where
    assert part in caught.value.message


def test_yaml_1_2_scalars() -> None:
    data = parse_yaml("{lr: 1e-5, lang: [en, no], t: 12:30:45, o: 010, y: yes, n: null, b: true}", "f.yaml").data
    assert data == {"lr": 1e-5, "lang": ["en", "no"], "t": "12:30:45", "o": 10, "y": "yes", "n": None, "b": True}
    assert [type(v) for v in data.values()] == [float, list, str, int, str, type(None), bool]


@pytest.mark.parametrize(
    ("text", "code", "where", "part"),
    [
        ("name: x\ninner:\n  minimun: 3\n", "E102", "f.yaml:3:3", "did you mean 'minimum'"),
        ("name: x\ninner: {}\n", "E104", "f.yaml:2:1", "inner.minimum"),
        ("name: x\ninner: {minimum: 3, minimun: 4}\n", "E102", "f.yaml:2:21", "did you mean 'minimum'"),
        ("name: x\ninner: {minimum: many}\n", "E105", "f.yaml:2:9", "'many'"),
    ],
)
def test_model_errors_have_places(text: str, code: str, where: str, part: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "f.yaml").check(Outer)
    assert (caught.value.code, caught.value.where) == (code, where)
    assert part in caught.value.message


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_yaml(tmp_path / "none.yaml")
    assert caught.value.code == "E100"
    assert "ingot init" in str(caught.value)
