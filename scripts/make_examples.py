#!/usr/bin/env python3
"""Build examples/*/raw and ATTRIBUTION.md from the shared data: real rows, a modest share of deliberate mess, seeded.

    scripts/make_examples.py [--data ../shared/data] [--out examples]

A rebuild gives the committed bytes (gzip members: the same content); tests/test_examples.py holds it to that. 4 s.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from example_kit import (
    UNSUITABLE,
    Json,
    Mess,
    RawFile,
    Shelf,
    attribution,
    bad_utf8,
    csv_rows,
    cut,
    decomposed,
    dumps,
    extended,
    nested,
    packed,
    pick,
    spaced,
    surrogate,
    windows,
)

ROOT = Path(__file__).resolve().parent.parent
Files = list[tuple[RawFile, bytes]]
OASST = (
    2,
    7,
    9,
    20,
    22,
    27,
    30,
    37,
    45,
    49,
    51,
    54,
    57,
    61,
    77,
    85,
    90,
    93,
    100,
)  # read by a person and found harmless
ANNOTATORS = ("annotator1", "annotator2", "annotator3")


def instances(tasks: list[Json]) -> list[Json]:
    """Self-instruct tasks as Alpaca rows, one per instance."""
    return [
        {"id": f"{task['id']}/{k}", "instruction": task["instruction"], "input": one["input"], "output": one["output"]}
        for task in tasks
        for k, one in enumerate(task["instances"])
    ]


def seed_tasks(shelf: Shelf, files: Files, mess: list[Mess]) -> None:
    up = shelf.take("sft/self-instruct/seed_tasks.jsonl")
    lines, tasks = up.lines(), up.objects()
    keep = [lines[k] for k in range(len(lines)) if not UNSUITABLE.search(lines[k].decode())]
    rows = [task for task, line in zip(tasks, lines, strict=True) if line in keep]
    change = "lines unchanged; unsuitable topics left out"
    early = RawFile(
        name="seed_tasks.jsonl", upstream=up, change=f"{change}; the last 24 are in seed_tasks_late.jsonl.gz"
    )
    early.real(keep[:-24])
    listed = next(row for row in rows if row["instances"][0]["output"].count("\n") > 2)
    accented = next(row for row in rows if "é" in str(row))

    def answered(k: int, **instance: object) -> bytes:
        return dumps({**rows[k], "id": f"{rows[k]['id']}_x", "instances": [{"input": "", **instance}]})

    early.mess(
        1,
        (keep[5], "exact copy of another row", "merged by exact_dedup"),
        (spaced(rows[12], "instruction"), "copy with a zero-width space and trailing spaces", "merged by exact_dedup"),
        (windows(listed), "copy with CRLF line ends in the text", "merged by exact_dedup"),
        (decomposed(accented), "copy with decomposed accents (NFD)", "merged by exact_dedup"),
        (b"# exported by hand, do not edit", "a line that is not JSON", "rejected"),
        (bad_utf8(rows[20], "instruction"), "a Latin-1 byte (E9) in UTF-8 text", "rejected"),
        (surrogate(rows[21], "instruction"), "half a surrogate pair, `\\ud83d`", "rejected"),
        (extended(rows[22], '"score": NaN'), "a NaN, which JSON does not have", "rejected"),
        (extended(rows[23], '"instruction": "Another one."'), "the key `instruction` twice", "rejected"),
        (answered(24, output=""), "an empty answer", "rejected"),
        (answered(25, output=["Paris", "Rome"]), "`output` is a list", "rejected"),
        (answered(26), "no `output` at all", "rejected"),
        (nested(rows[27], 600), "brackets nested 600 deep", "rejected"),
    )
    early.tail = (cut(rows[30]), "the last line ends in mid-row, without a newline", "rejected")
    late = RawFile(name="seed_tasks_late.jsonl.gz", upstream=up, change=f"{change}; cut off")
    late.real(keep[-24:])
    whole, _ = late.render("lines")
    body, found = early.render("lines")
    files += [(early, body), (late, packed(whole)[: len(packed(whole)) * 3 // 4])]
    late_mess = Mess(file=late.name, line=None, what="gzip stream cut off after three quarters",
                     fate="whole rows before the cut are kept, the rest is rejected")  # fmt: skip
    mess += [*found, late_mess]


def user_tasks(shelf: Shelf, files: Files, mess: list[Mess]) -> None:
    up = shelf.take("sft/self-instruct/user_oriented_instructions.jsonl")
    tasks = pick(up.objects(), 150, "user", lambda task: len(str(task)) < 1200 and task["instances"][0]["output"])
    rows = [{**row, "app": task["motivation_app"]} for task in tasks for row in instances([task])]
    raw = RawFile(name="user_tasks.csv", upstream=up,
                  change="150 tasks as a semicolon-separated CSV with CRLF line ends: id, app, instruction, input, output")  # fmt: skip
    header, *lines = csv_rows(rows, ["id", "app", "instruction", "input", "output"], ";")
    raw.real(lines)
    raw.mess(
        2,
        (lines[9], "exact copy of another row", "merged by exact_dedup"),
        (lines[30] + b";;surplus", "two fields too many", "rejected"),
        (b"user_oriented_task_x/0;Mail", "three fields too few", "rejected"),
        (lines[31].replace(b";", b";Caf\xe9 ", 1), "a Latin-1 byte (E9) in UTF-8 text", "rejected"),
    )
    raw.first((header, "", ""))
    body, found = raw.render("lines")
    rendered = b"".join(row[0] + b"\r\n" for row in raw.rows)
    assert rendered.count(b"\n") == body.count(b"\n")
    files.append((raw, rendered))
    mess += found


def trees(shelf: Shelf, files: Files, mess: list[Mess]) -> None:
    up = shelf.take("sft/oasst/en_100_tree.jsonl")
    lines = up.lines()
    raw = RawFile(
        name="oasst_trees.jsonl.gz",
        upstream=up,
        change=f"{len(OASST)} of 100 trees, chosen by hand; their lines unchanged",
    )
    raw.real(lines[k - 1] for k in OASST)
    raw.mess(3, (lines[OASST[3] - 1], "exact copy of another tree", "merged by exact_dedup, path by path"))
    body, found = raw.render("lines")
    files.append((raw, packed(body)))
    mess += found


def airline(shelf: Shelf, files: Files, mess: list[Mess]) -> None:
    up = shelf.take("rlvr/rollouts/tau-bench/gpt-4o-airline.json.gz")

    def fits(run: Json) -> bool:
        roles = [turn["role"] for turn in run["traj"]]
        return (
            run["reward"] == 1.0
            and "tool" in roles
            and roles[-2:] == ["assistant", "user"]
            and len(str(run["traj"])) < 14000
        )

    rows = []
    for run in pick(up.json(), 20, "airline", fits):
        system, *turns = run["traj"]
        policy = {**system, "content": system["content"].partition("\n## Domain Basic")[0].strip()}
        rows.append(
            {
                "id": f"airline-{run['task_id']}-{run['trial']}",
                "messages": [policy, *turns[:-1]],
                "reward": run["reward"],
            }
        )
    raw = RawFile(name="airline.jsonl", upstream=up,
                  change="20 solved runs (reward 1.0) of the airline tasks as OpenAI messages; the system message is cut before "
                         "its section \"Domain Basic\" and the simulated user's closing turn is left out; a JSON array in spite "
                         "of its name")  # fmt: skip
    raw.real(dumps(row) for row in rows)

    def edit(k: int, name: str, change: Callable[[list[Json]], list[Json]]) -> bytes:
        return dumps({**rows[k], "id": name, "messages": change([dict(turn) for turn in rows[k]["messages"]])})

    first_tool = [next(i for i, turn in enumerate(row["messages"]) if turn["role"] == "tool") for row in rows]
    raw.mess(
        4,
        (edit(2, "airline-role", lambda turns: [*turns[:-1], {**turns[-1], "role": "supervisor"}]), "a turn with the role `supervisor`",
         "rejected"),
        (edit(3, "airline-no-result", lambda turns: turns[: first_tool[3]] + turns[first_tool[3] + 1 :]), "a tool call without its result",
         "rejected"),
        (edit(4, "airline-empty", lambda turns: [*turns[:-1], {**turns[-1], "content": ""}]), "an empty last answer", "rejected"),
    )  # fmt: skip
    body, found = raw.render("array")
    files.append((raw, body))
    mess += found


def judged(rows: list[Json]) -> list[tuple[Json, int]]:
    """Pairs on which at least two of the three annotators prefer the same response (1 or 2)."""
    votes = [(row, [row[name] for name in ANNOTATORS]) for row in rows]
    return [(row, best) for row, vote in votes for best in (1, 2) if vote.count(best) >= 2]


def asked(row: Json) -> str:
    return f"{row['instruction']}\n\n{row['input']}" if row["input"] else str(row["instruction"])


def pairs(shelf: Shelf, files: Files, mess: list[Mess]) -> None:
    up = shelf.take("annotation/pandalm/testset-v1.json")
    boolean = [row for row in up.json() if bool in map(type, (row["response1"], row["response2"]))]
    chosen = pick(up.json(), 210, "pairs", lambda row: row["idx"] % 2 == 0 and judged([row]) and len(str(row)) < 2500)
    rows = []
    for row, best in judged(
        sorted([*chosen, *(b for b in boolean if b not in chosen)], key=lambda row: int(row["idx"]))
    ):
        models = row["cmp_key"].split("_")
        rows.append({
            "id": f"pandalm-{row['idx']}", "prompt": asked(row), "chosen": row[f"response{best}"],
            "rejected": row[f"response{3 - best}"], "models": models if best == 1 else models[::-1],
            "votes": [row[name] for name in ANNOTATORS],
        })  # fmt: skip
    raw = RawFile(name="pairs.jsonl", upstream=up,
                  change="pairs on which two of three annotators agree, as TRL rows (prompt, chosen, rejected); models and votes "
                         "kept beside them. Six answers are the boolean `true` instead of text, as upstream has them")  # fmt: skip
    raw.real(dumps(row) for row in rows)
    good = [
        row
        for row in rows
        if isinstance(row["chosen"], str) and isinstance(row["rejected"], str) and row["rejected"].strip()
    ]
    raw.mess(
        5,
        (dumps(good[3]), "exact copy of another row", "merged by exact_dedup"),
        (spaced(good[8], "chosen"), "copy with a zero-width space and trailing spaces", "merged by exact_dedup"),
        (dumps({**good[15], "rejected": good[15]["chosen"]}), "chosen and rejected are the same text", "rejected"),
        (dumps({k: v for k, v in good[16].items() if k != "rejected"}), "no `rejected`", "rejected"),
        (surrogate(good[17], "chosen"), "half a surrogate pair, `\\ud83d`", "rejected"),
        (extended(good[18], '"margin": Infinity'), "an Infinity, which JSON does not have", "rejected"),
        (extended(good[19], '"chosen": "Another answer."'), "the key `chosen` twice", "rejected"),
        (b"pairs/testset-v1.json", "a path where a row should be", "rejected"),
    )
    raw.tail = (cut(good[20]), "the last line ends in mid-row, without a newline", "rejected")
    body, found = raw.render("lines")
    files.append((raw, body))
    mess += found


def thumbs(shelf: Shelf, files: Files, mess: list[Mess]) -> None:
    up = shelf.take("annotation/pandalm/testset-v1.json")
    chosen = pick(up.json(), 160, "thumbs", lambda row: row["idx"] % 2 == 1 and judged([row]) and len(str(row)) < 2500
                  and bool not in map(type, (row["response1"], row["response2"])))  # fmt: skip
    rows = []
    for k, (row, best) in enumerate(judged(chosen)):
        shown = 1 + k % 2
        rows.append(
            {
                "id": f"pandalm-{row['idx']}-{shown}",
                "prompt": asked(row),
                "completion": row[f"response{shown}"],
                "label": shown == best,
            }
        )
    raw = RawFile(name="thumbs.jsonl.gz", upstream=up,
                  change="other pairs (odd idx) as KTO rows: one of the two responses in turn, label = preferred by two of three annotators")  # fmt: skip
    raw.real(dumps(row) for row in rows)
    raw.mess(
        6,
        (dumps(rows[4]), "exact copy of another row", "merged by exact_dedup"),
        (dumps({**rows[10], "label": "yes"}), "the label is the text `yes`", "rejected"),
        (dumps({**rows[11], "completion": ""}), "an empty completion", "rejected"),
        (bad_utf8(rows[12], "completion"), "a Latin-1 byte (E9) in UTF-8 text", "rejected"),
    )
    body, found = raw.render("lines")
    files.append((raw, packed(body)))
    mess += found


def arena(shelf: Shelf, files: Files, mess: list[Mess]) -> None:
    strong, weak = (
        shelf.take(f"preference/arena-hard-v0.1/{name}.jsonl.gz") for name in ("gpt-4-0314", "gpt-3.5-turbo-0125")
    )

    def said(row: Json) -> tuple[str, str]:
        asked, answered = row["messages"]
        return str(asked["content"]), str(answered["content"]["answer"])

    other = {row["uid"]: said(row)[1] for row in weak.objects()}

    def fits(row: Json) -> bool:
        texts = (*said(row), other[row["uid"]])
        return len(texts[0]) < 500 and all(0 < len(text) < 2200 for text in texts) and not UNSUITABLE.search(texts[2])

    rows = [
        {"id": row["uid"], "conversations": [{"from": "human", "value": said(row)[0]}],
         "chosen": {"from": "gpt", "value": said(row)[1]}, "rejected": {"from": "gpt", "value": other[row["uid"]]}}
        for row in pick(strong.objects(), 50, "arena", fits)
    ]  # fmt: skip
    raw = RawFile(name="arena.json", upstream=strong,
                  change="50 of 500 prompts as ShareGPT preference rows. There is no human judgement behind these: chosen is "
                         "gpt-4-0314's answer, rejected gpt-3.5-turbo-0125's (same repository and commit, path "
                         f"`{weak.path}`, sha256 `{weak.sha256}`)")  # fmt: skip
    raw.real(dumps(row) for row in rows)
    odd: Any = {**rows[6], "id": "arena-role", "conversations": [{"from": "narrator", "value": "Once upon a time."}]}
    raw.mess(
        7,
        (dumps(odd), "a turn from `narrator`", "rejected"),
        (dumps({**rows[7], "chosen": None}), "`chosen` is null", "rejected"),
    )
    body, found = raw.render("array")
    files.append((raw, body))
    mess += found


def gsm8k(shelf: Shelf, files: Files, mess: list[Mess]) -> None:
    up = shelf.take("rlvr/gsm8k/train.jsonl.gz")
    objects, lines = up.objects(), up.lines()
    wanted = pick(
        list(range(len(lines))),
        299,
        "gsm8k",
        lambda k: b"\\u2028" not in lines[k] and not UNSUITABLE.search(lines[k].decode()),
    )
    separator = next(k for k, line in enumerate(lines) if b"\\u2028" in line)
    raw = RawFile(
        name="gsm8k.jsonl",
        upstream=up,
        change="300 of 7,473 lines, unchanged, among them the one that holds a U+2028 separator",
    )
    keep = sorted([*wanted, separator])
    raw.real(lines[k] for k in keep)
    rows = [objects[k] for k in keep]
    raw.mess(
        8,
        (dumps(rows[3]), "copy of another row, without its escapes", "merged by exact_dedup"),
        (spaced(rows[9], "question"), "copy with a zero-width space and trailing spaces", "merged by exact_dedup"),
        (windows(rows[14]), "copy with CRLF line ends in the text", "merged by exact_dedup"),
        (
            dumps({**rows[20], "answer": rows[20]["answer"].partition("####")[0]}),
            "no `####`: the answer cannot be found",
            "rejected",
        ),
        (dumps({**rows[21], "question": ""}), "an empty question", "rejected"),
        (bad_utf8(rows[22], "question"), "a Latin-1 byte (E9) in UTF-8 text", "rejected"),
        (surrogate(rows[23], "answer"), "half a surrogate pair, `\\ud83d`", "rejected"),
        (extended(rows[24], '"answer": "#### 0"'), "the key `answer` twice", "rejected"),
        (nested(rows[25], 600), "brackets nested 600 deep", "rejected"),
        (dumps({**rows[26], "question": {"text": rows[26]["question"]}}), "`question` is an object", "rejected"),
        (b"<<<<<<< HEAD", "a merge conflict marker", "rejected"),
    )
    raw.tail = (cut(rows[30]), "the last line ends in mid-row, without a newline", "rejected")
    body, found = raw.render("lines")
    files.append((raw, body))
    mess += found


def svamp(shelf: Shelf, files: Files, mess: list[Mess]) -> None:
    up = shelf.take("rlvr/svamp/SVAMP.json")
    rows = pick(up.json(), 100, "svamp", lambda row: True)
    raw = RawFile(name="svamp.json", upstream=up, change="100 of 1,000 elements of the array, one per line")
    raw.real(dumps(row) for row in rows)
    raw.mess(
        9,
        (dumps(rows[4]), "exact copy of another element", "merged by exact_dedup"),
        (
            dumps({**rows[5], "ID": "chal-nan", "Answer": 0}).replace(b'"Answer": 0', b'"Answer": NaN'),
            "the answer is NaN",
            "rejected",
        ),
        (dumps({**rows[6], "ID": "chal-none", "Answer": None}), "the answer is null", "rejected"),
    )
    body, found = raw.render("array")
    files.append((raw, body))
    mess += found


def aqua(shelf: Shelf, files: Files, mess: list[Mess]) -> None:
    up = shelf.take("rlvr/aqua/dev.json")
    rows = pick(up.objects(), 100, "aqua", lambda row: len(str(row)) < 1500)
    raw = RawFile(
        name="aqua.json", upstream=up, change="100 of 254 rows; JSON Lines in spite of its name, as upstream has it"
    )
    raw.real(dumps(row) for row in rows)
    raw.mess(
        10,
        (dumps(rows[4]), "exact copy of another row", "merged by exact_dedup"),
        (dumps({**rows[5], "correct": "F"}), "the correct option `F` is not among A to E", "rejected"),
        (dumps({k: v for k, v in rows[6].items() if k != "correct"}), "no `correct`", "rejected"),
    )
    raw.first((b"aqua/dev.json", "the first line is a path, not a row", "rejected"))
    body, found = raw.render("lines")
    files.append((raw, body))
    mess += found


def math(shelf: Shelf, files: Files, mess: list[Mess]) -> None:
    up = shelf.take("rlvr/rllm/train/math/math.json.gz")
    rows = pick(up.json(), 150, "math", lambda row: len(row["problem"]) < 700)
    raw = RawFile(name="math.json.gz", upstream=up, change="150 of 7,474 elements of the array, one per line")
    raw.real(dumps(row) for row in rows)
    raw.mess(11, (dumps({**rows[8], "answer": ""}), "an empty answer", "rejected"))
    body, found = raw.render("array")
    files.append((raw, packed(body)))
    mess += found


EXAMPLES = {
    "sft": (seed_tasks, user_tasks, trees, airline),
    "preference": (pairs, thumbs, arena),
    "rlvr": (gsm8k, svamp, aqua, math),
}


def build(shelf: Shelf, out: Path) -> None:
    """Write raw/, licenses/ and ATTRIBUTION.md of each example."""
    for example, makers in EXAMPLES.items():
        files: Files = []
        mess: list[Mess] = []
        for make in makers:
            make(shelf, files, mess)
        folder = out / example
        for name in ("raw", "licenses"):
            shutil.rmtree(folder / name, ignore_errors=True)
            (folder / name).mkdir(parents=True)
        for raw, body in files:
            (folder / "raw" / raw.name).write_bytes(body)
            (folder / "licenses" / raw.upstream.license_file.name).write_bytes(raw.upstream.license_file.read_bytes())
        (folder / "ATTRIBUTION.md").write_text(attribution([raw for raw, _ in files], mess), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("INGOT_TEST_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with MANIFEST.json (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "examples", help="where sft/, preference/ and rlvr/ go")
    args = parser.parse_args()
    if not (args.data / "MANIFEST.json").is_file():
        raise SystemExit(f"{args.data} holds no MANIFEST.json; name the shared data with --data")
    build(Shelf(args.data), args.out)


if __name__ == "__main__":
    main()
