"""The field map: strict models of `format: {prompt: question, response: answer}` and its longer forms.

```yaml
format: {prompt: question, response: answer}                        # sft, texts
format: {prompt: [Body, Question], answer: Answer, verifier: math}  # rlvr, texts joined by `join`
format:                                                             # preference, JSON inside strings
  prompt: {field: {json: context}, role: role, content: [text, response], calls: api,
           roles: {agent: assistant, user: user, api: tool}}
  response: {field: {json: generation}, role: role, content: text, calls: api, roles: {agent: assistant}}
  label: reward
format:                                                             # preference, two answers and who won
  prompt: [instruction, input]
  first: response1
  second: response2
  winner: {field: annotator1, first: 1, second: 2}
```
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, field_validator, model_validator

Path = tuple[str | int, ...]
Role = Literal["system", "developer", "user", "assistant", "tool", "call"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)


class JsonPlace(_Strict):
    """JSON held in a string."""

    json_: str = Field(alias="json", min_length=1, description="path of the string")
    path: str | None = Field(default=None, description="path inside the parsed value")

    def __str__(self) -> str:
        return f"json in {self.json_}" + (f" at {self.path}" if self.path else "")


def _kind(value: Any) -> str:
    """Which alternative of a place or slot a value is meant as, so that messages are about that one alone."""
    if isinstance(value, dict):
        return "json" if "json" in value else "messages"
    if isinstance(value, BaseModel):
        return "json" if isinstance(value, JsonPlace) else "messages"
    return "paths" if isinstance(value, list | tuple) else "path"


def _place_kind(value: Any) -> str:
    return "json" if _kind(value) in ("json", "messages") else "path"


def _turns_kind(value: Any) -> str:
    return "path" if (kind := _kind(value)) == "paths" else kind


_Path = Annotated[str, Tag("path")]
_Json = Annotated[JsonPlace, Tag("json")]
Place = Annotated[_Path | _Json, Discriminator(_place_kind)]


class MessagesPlace(_Strict):
    """A list of turns (or one turn) as this source writes it."""

    field: Place = Field(description="where the list is")
    role: str = Field(default="role", description="path of the speaker within a turn")
    content: str | tuple[str, ...] = Field(
        default="content", description="path of the text within a turn, or alternatives in order"
    )
    roles: dict[str, Role] = Field(
        default_factory=dict, description="speaker's name -> role; `call`: the text is a tool call as JSON"
    )
    calls: str | None = Field(default=None, description="path of tool calls within a turn, in any known form")

    @field_validator("content", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value


_Messages = Annotated[MessagesPlace, Tag("messages")]
Conversation = Annotated[_Path | _Json | _Messages, Discriminator(_turns_kind)]
Slot = Annotated[_Path | _Json | _Messages | Annotated[tuple[Place, ...], Tag("paths")], Discriminator(_kind)]


class VerifierPlace(_Strict):
    """The verifier's name is in the row."""

    field: str = Field(min_length=1)


class WinnerPlace(_Strict):
    """Which of two answers was preferred. Any other value, such as a tie, leaves the row without a preference."""

    field: Place = Field(description="where the verdict is")
    first: str | int | bool = Field(description="its value when the first answer won")
    second: str | int | bool = Field(description="its value when the second answer won")

    @model_validator(mode="after")
    def _differ(self) -> WinnerPlace:
        if verdict(self.first) == verdict(self.second):
            raise ValueError("first and second are the same verdict")
        return self


class FieldMap(_Strict):
    """Which field of a row is what. Every field that is not named goes to meta."""

    messages: Conversation | None = Field(default=None, description="the conversation")
    prompt: Slot | None = Field(default=None, description="text, texts to join, or messages")
    response: Slot | None = Field(default=None, description="the answer of sft, or the one that `label` judges")
    chosen: Slot | None = None
    rejected: Slot | None = None
    first: Slot | None = Field(default=None, description="the first of two answers that `winner` chooses between")
    second: Slot | None = None
    winner: WinnerPlace | None = Field(default=None, description="which of `first` and `second` was preferred")
    label: Place | None = Field(default=None, description="preference of single answers: true/false or 1/0")
    answer: Place | None = Field(default=None, description="ground truth of rlvr")
    after: str | None = Field(default=None, min_length=1, description="the answer is what follows the last such mark")
    verifier: str | VerifierPlace | None = Field(default=None, description="a name, or {field: path}")
    verifier_args: Place | None = Field(default=None, description="an object with what the verifier needs")
    system: Place | None = None
    tools: Place | None = Field(default=None, description="a list of tools, or a string that holds one")
    id: str | None = Field(default=None, description="path of the row's own id")
    join: str = Field(default="\n", description="between texts that are joined")

    @field_validator("prompt", "response", "chosen", "rejected", "first", "second", mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return tuple(value) if isinstance(value, list) else value

    @model_validator(mode="after")
    def _something(self) -> FieldMap:
        if not any((self.messages, self.prompt, self.chosen, self.first)):
            raise ValueError("a field map names at least messages, prompt, or chosen and rejected")
        if len({self.first is None, self.second is None, self.winner is None}) > 1:
            raise ValueError("first, second and winner belong together")
        if self.first is not None and (self.chosen is not None or self.label is not None):
            raise ValueError("first, second and winner take the place of chosen and rejected, or of label")
        if (self.chosen is None) != (self.rejected is None):
            raise ValueError("chosen and rejected belong together")
        if self.label is not None and self.chosen is not None:
            raise ValueError("label judges a single response; chosen and rejected need none")
        return self

    def missing(self, regime: str) -> str | None:
        """What the map lacks to make records of a regime, as a sentence; None if nothing."""
        if regime == "sft":
            whole = self.messages is not None or (self.prompt is not None and self.response is not None)
            return None if whole else "sft needs `messages`, or `prompt` and `response`"
        if regime == "preference":
            pair = self.chosen is not None or self.first is not None
            judged = self.label is not None and (
                self.messages is not None or (self.prompt is not None and self.response is not None)
            )
            return (
                None
                if pair or judged
                else "preference needs `chosen` and `rejected`, `first`, `second` and `winner`, "
                "or `response` and `label`"
            )
        whole = self.messages is not None or self.prompt is not None
        if not whole:
            return "rlvr needs `prompt` or `messages`"
        return None if self.answer or self.verifier_args else "rlvr needs `answer` or `verifier_args`"

    def __str__(self) -> str:
        return "map " + ", ".join(f"{key}={value}" for key, value in self.model_dump(exclude_defaults=True).items())


def verdict(value: str | int | bool) -> str:
    """A value of the configuration as the text of a JSON scalar."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def split_path(path: str) -> Path:
    """The steps of a path: numbers index lists (-1: the last), a backslash makes the next dot part of a key."""
    steps = path.replace("\\.", "\0").split(".")
    return tuple(int(s) if s.isascii() and s.removeprefix("-").isdigit() else s.replace("\0", ".") for s in steps)


def shape_of(place: MessagesPlace) -> tuple[Path, tuple[Path, ...], dict[str, str], Path | None]:
    """(role, contents, roles, calls) of a place, as paths."""
    contents = (place.content,) if isinstance(place.content, str) else place.content
    calls = None if place.calls is None else split_path(place.calls)
    return split_path(place.role), tuple(map(split_path, contents)), dict(place.roles), calls
