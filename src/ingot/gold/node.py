"""The gold nodes: `gold.tokens`, one task per silver part, and one node per split, two rounds over the tokens.

    silver part ──tokenize──▶ token part (sorted by record_id)      gold.tokens: tokenizer, template
    token parts ──merge─────▶ document part of a record_id range    gold.<split>, round 1: split (train_on; see below)
    document parts ──pack───▶ pack index                            gold.<split>, round 2: max_length, overflow, train_on

Each task's key covers exactly what its result depends on. Tokens do not depend on train_on, max_length or overflow;
documents depend on max_length only where the policy rejects by it (drop, truncate). So another max_length under
`split` runs one task, the pack index.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from ingot.core.fingerprint import fingerprint
from ingot.core.node import Draft, Part, Rounds, Snapshot, folder
from ingot.core.silver import label, merge_funnels
from ingot.core.task import Json, Task
from ingot.gold import merge, pack
from ingot.gold.overflow import Overflow, overflow_of
from ingot.schema.digest import schema_text

if TYPE_CHECKING:
    from ingot.store.lake import Lake

TOKENIZE_VERSION = 1


class GoldConfig(BaseModel):
    """The `gold:` section of ingot.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokenizer: str = Field(description="A tokenizer.json, a directory that holds one, or a hub name; pinned by its bytes.")
    template: str = Field("chatml", description="chatml, tokenizer (its own chat template), or a .jinja file.")
    train_on: list[str] = Field(["assistant"], min_length=1, description="Segment classes whose tokens are trained.")
    max_length: int = Field(4096, ge=2, le=1 << 20, description="Tokens in a training row.")
    overflow: Overflow | None = Field(
        None, description="What happens to longer documents: split, truncate, drop or error; default split for sft, else drop."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldSplit:
    """Documents of one split with their pack index. inputs: the gold.tokens node alone.

    stats: what the loader needs (regime, max_length, train_on, pad_id), totals, packing efficiency and the ledger per
    source (gold.overflow.per_source plus documents_dropped and documents_untrained, which are rejects). licenses are
    those of the input, all splits together.
    """

    name: str
    inputs: tuple[str, ...]
    regime: str
    split: str
    config: GoldConfig

    def __post_init__(self) -> None:
        overflow_of(self.regime, self.config.overflow)

    @property
    def overflow(self) -> Overflow:
        """The policy in force."""
        return overflow_of(self.regime, self.config.overflow)

    def describe(self) -> Json:
        return {
            "regime": self.regime, "split": self.split, "train_on": sorted(self.config.train_on),
            "max_length": self.config.max_length, "overflow": self.overflow, "merge": merge.VERSION, "pack": pack.VERSION,
        }  # fmt: skip

    def build(self, lake: Lake, inputs: Mapping[str, Snapshot]) -> Rounds:
        """Documents by range of record_id, then the pack index over all of them."""
        del lake
        tokens = inputs[self.inputs[0]].draft
        mine = [part for part in tokens.parts if self.split in part.meta["splits"]]
        total = sum(part.meta["splits"][self.split]["tokens"] for part in mine)
        buckets = yield self._bucket_tasks(mine, merge.bucket_bits(total))
        (packed,) = yield [self._pack_task(buckets)]
        parts = tuple(Part(path=b["path"], rows=b["rows"], bytes=b["bytes"], digest=b["digest"], rejects=b["rejects"])
                      for b in buckets)  # fmt: skip
        funnel = merge_funnels([bucket["funnel"] for bucket in buckets])
        stats = self._stats(packed, funnel, int(tokens.stats["pad_id"]))
        schema = schema_text(merge.DOCUMENTS[self.regime])
        content = {
            "schema": schema, "documents": [part.digest for part in parts], "packs": packed["digest"],
            "read_as": {name: stats[name] for name in ("regime", "max_length", "train_on", "pad_id")},
        }  # fmt: skip
        return Draft(
            parts=parts, rows=sum(part.rows for part in parts), digest=fingerprint(content), schema=schema,
            funnel=tuple(funnel), files={"packs": packed["path"]}, stats=stats, licenses=dict(tokens.licenses),
        )  # fmt: skip

    def _bucket_tasks(self, parts: list[Part], bits: int) -> list[Task]:
        admit: Json = {"train_on": sorted(self.config.train_on), "overflow": "split", "max_length": 0}
        if self.overflow in ("drop", "truncate"):  # only these reject documents by their length
            admit |= {"overflow": self.overflow, "max_length": self.config.max_length}
        if self.regime == "rlvr":
            admit["train_on"] = ["assistant"]  # prompts are not trained: their documents do not depend on it
        tasks = []
        for bucket in range(1 << bits):
            params = {"split": self.split, "regime": self.regime, "bucket": bucket, "bits": bits, **admit}
            digests = sorted(fingerprint(part.digest) for part in parts)
            tasks.append(
                Task(
                    key=fingerprint({"op": "merge", "version": merge.VERSION, "inputs": digests, **params}),
                    op="ingot.gold.merge:merge_bucket", node=self.name, place=f"{folder(self.name)}/parts",
                    label=f"documents {bucket + 1} of {1 << bits}",
                    params={"parts": [part.path for part in parts], **params},
                )
            )  # fmt: skip
        return tasks

    def _pack_task(self, buckets: list[Json]) -> Task:
        how = {"regime": self.regime, "overflow": self.overflow, "max_length": self.config.max_length,
               "train_on": sorted(self.config.train_on)}  # fmt: skip
        inputs = [bucket["digest"] for bucket in buckets]
        return Task(
            key=fingerprint({"op": "pack", "version": pack.VERSION, "inputs": inputs, **how}),
            op="ingot.gold.pack:pack_split", node=self.name, place=f"{folder(self.name)}/packs",
            label=f"packs of {self.config.max_length} tokens", params={"parts": [b["path"] for b in buckets], **how},
        )  # fmt: skip

    def _stats(self, packed: Json, funnel: list[Json], pad_id: int) -> Json:
        sources: Json = {name: dict(ledger) for name, ledger in packed["sources"].items()}
        for name, counts in (funnel[0]["sources"] if funnel else {}).items():
            ledger = sources.setdefault(name, {})
            ledger["documents_dropped"] = counts["reasons"].get("too_long", 0)
            ledger["documents_untrained"] = counts["reasons"].get("no_trained_tokens", 0)
        totals: dict[str, int] = {}
        for ledger in sources.values():
            for name, n in ledger.items():
                totals[name] = totals.get(name, 0) + n
        used = totals.get("tokens_packed", 0)
        room = packed["packs"] * self.config.max_length
        return {
            "regime": self.regime, "split": self.split, "max_length": self.config.max_length, "overflow": self.overflow,
            "train_on": sorted(self.config.train_on), "pad_id": pad_id, "packs": packed["packs"],
            "efficiency": used / room if room and self.regime == "sft" else None,
            "trained_share": totals.get("tokens_trained", 0) / used if used and self.regime == "sft" else None,
            "totals": dict(sorted(totals.items())), "sources": dict(sorted(sources.items())),
        }  # fmt: skip
