"""The texts behind error codes and reject reasons: what happened, why, what to do next.

Data only. `ingot explain CODE` prints an entry; tests assert that each code used in the source has one, that each has a
heading in docs/errors.md, and that no entry is unused.
"""

from __future__ import annotations

from typing import NamedTuple


class Entry(NamedTuple):
    """One error code: a title, the usual cause, and the remedy with a command where there is one."""

    title: str
    cause: str
    remedy: str


CATALOGUE: dict[str, Entry] = {
    # E1xx configuration (core)
    "E100": Entry("The pipeline's file cannot be read", "It does not exist, is not readable, or is not UTF-8 text.",
                  "`ingot init` writes one; -f names another file."),
    "E101": Entry("Not the YAML that is accepted",
                  "A syntax error, a duplicate key, an anchor or alias, a tag, or a value that YAML reads as a date.",
                  "Correct the named place; quote what is meant as text. Anything dynamic belongs into Python."),
    "E102": Entry("Unknown key", "A key that is not part of the configuration, often a slip of the pen.",
                  "Take the suggestion, or look the key up in docs/configuration.md."),
    "E103": Entry("Unknown step", "No built-in step and no installed plug-in has this name.",
                  "Take the suggestion; docs/steps.md lists the steps."),
    "E104": Entry("A required key is missing", "The configuration cannot be completed by a guess.",
                  "Add the key; docs/configuration.md says what it means."),
    "E105": Entry("A value is not what the key wants", "Wrong type, out of range, or not one of the choices.",
                  "Correct the value at the named place."),
    "E106": Entry("Unknown node", "--select or a verb names a node that the pipeline does not have.",
                  "`ingot plan` and `ingot status` list the nodes."),
    "E107": Entry("An input has not been built", "--select left out a node that the selected ones read.",
                  "Select it too: +NODE takes all that NODE needs."),
    "E108": Entry("A function that cannot be a step",
                  "A closure, lambda, method, or a name that its module does not define: its source does not say all it does.",
                  "Define it with def at the top level of a module beside the pipeline; pass values as args."),
    "E109": Entry("Two versions of a step", "The task was planned by another version of Ingot or of a plug-in.",
                  "Use one version everywhere, then run again."),
    "E112": Entry("Two nodes with one name", "A source or node name occurs twice.", "Give one another name."),
    "E113": Entry("Steps in an order that cannot run",
                  "A global step must begin a silver node, and rows must be conformed by a row-local node before it.",
                  "Split the list into two nodes."),
    # E2xx sources
    # E3xx store
    "E301": Entry("There is no lake here", "The lake's folder or bucket is empty or does not exist.",
                  "Run the pipeline first (`ingot run`), or pass the lake's location with --lake."),
    "E302": Entry("This place is not a lake", "The folder holds files but no lake.json, so it belongs to something else.",
                  "Choose an empty folder; Ingot never mixes its files with others."),
    "E303": Entry("The lake has another format", "lake.json names a format version that this program does not read.",
                  "Install the version of Ingot that wrote the lake, or build a new lake from the sources."),
    "E304": Entry("A file of the lake is missing", "Something outside Ingot removed it, or the path is wrong.",
                  "Run the pipeline again: missing parts are rebuilt. `ingot check` lists what is missing."),
    "E305": Entry("Not allowed", "The operating system or the object store refused access.",
                  "Check owner and mode of the folder, or the policy of the bucket for these credentials."),
    "E306": Entry("No space left", "The disk, the quota or the file size limit is used up; what was there is unharmed.",
                  "Free space (`ingot gc` removes what no name needs) and run again: finished work is kept."),
    "E307": Entry("Not a name the lake can use", "A URL, path, node name or snapshot id has a form that is not allowed.",
                  "Give a folder, s3://bucket/prefix, gs:// or az://; node names are letters, digits, `_`, `-` and `.`."),
    "E308": Entry("The store ignores conditional writes",
                  "It accepted a second put-if-absent, or an outdated compare-and-swap: concurrent runs would lose data.",
                  "Use a store with If-None-Match and If-Match support (S3, GCS, Azure, recent MinIO), or a local folder."),
    "E309": Entry("No credentials", "The object store wants credentials and none were found or they were not accepted.",
                  "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the Google or Azure ones), or log in with its tool."),
    "E310": Entry("Another run moved the name first", "Two runs built the same node at once; the slower one stopped.",
                  "Run again: it starts from the new state and reuses everything already built."),
    "E311": Entry("No such snapshot", "No run has published a node of that name yet.",
                  "`ingot status` lists the nodes that have one."),
    "E312": Entry("A manifest may not change", "The same identity was computed for two different contents.",
                  "A step is not deterministic: `ingot diff` the two, then declare a new version of the step."),
    "E313": Entry("A file of the lake is damaged", "Its content cannot be read as what it should be.",
                  "Delete that file and run again; if it is in bronze, restore it or ingest its source again."),
    "E314": Entry("The store failed", "Network, disk or server trouble that retries did not cure.",
                  "Run again; finished work is kept. If it persists, check the endpoint and the disk."),
    "E315": Entry("The lake is locked", "Another process holds the lake's lock for longer than any commit takes.",
                  "Look for a stopped ingot process; the lock goes with the process that holds it."),
    "E316": Entry("An asset is damaged", "Its bytes do not have the sha256 it is named after.",
                  "Delete that file in assets/ and run again with the original file in place."),
    "E317": Entry("No such version", "The part after @ is neither a number in the history nor the beginning of one id.",
                  "`ingot log NODE` lists the versions."),
    "E318": Entry("A type that cannot be stored", "Decimal, map, union and run-end-encoded columns have no canonical form.",
                  "Cast the column in your step, for example to string or double."),
    "E320": Entry("The name belongs to another pipeline", "Two pipelines in one lake have a node of the same name.",
                  "Give each pipeline a lake of its own, or rename the source."),
    "E321": Entry("A run may be writing", "gc would delete files that the run is about to name.",
                  "Wait for the run to end, or for ten minutes after it was killed; then `ingot gc --delete`."),
    # E4xx steps
    "E402": Entry("Rows were not conserved", "A step returned neither kept nor rejected rows for some input rows.",
                  "A defect of the step: report it, or correct your own step."),
    "E403": Entry("A step in the wrong place", "A row-local step was wanted and a global one given, or the reverse.",
                  "Put a global step at the beginning of a silver node."),
    "E404": Entry("A task failed", "An unexpected exception inside a step, most often in a user's function.",
                  "The message names the exception; the printed command runs the one task alone."),
    "E405": Entry("A user's function raised", "The exception and its message are shown.",
                  "Correct the function; tasks already done are kept, the next run goes on from here."),
    "E406": Entry("The query failed", "DuckDB refused it; its message says why.",
                  "`ingot status` lists the nodes that can be queried; columns: `ingot show NODE -n 1`."),
    # E5xx gates
    "E501": Entry("A gate failed", "The data does not meet a condition of the pipeline; no name was moved.",
                  "Look at the rows shown; correct the data or, knowingly, the gate. The names still mean the old data."),
    # E6xx gold
    "E630": Entry("Documents are longer than max_length", "gold.overflow is `error`, and some documents do not fit a row.",
                  "Raise gold.max_length, or choose split, truncate or drop: each reports what it costs per source."),
    "E631": Entry("The overflow policy does not fit the regime",
                  "Pairs and prompts cannot be split into pieces; a prompt cannot be truncated without losing its question.",
                  "Use drop, truncate or error for preference data, drop or error for rlvr."),
    # E7xx loader
    "E701": Entry("No such data set", "The lake has no ref of that name; perhaps its pipeline has not run, or it is another lake.",
                  "`ingot status` lists the names; run the pipeline first (`ingot run`)."),
    "E702": Entry("Not a gold split", "Batches are read from gold nodes with a pack index; this node has none.",
                  "Load a node such as gold.train; silver is read with `ingot show` or any Parquet reader."),
    "E703": Entry("The data set is empty", "No document of this split was left to train on.",
                  "`ingot rejects NODE` and `ingot status` show where the rows went."),
    "E704": Entry("A loader option is out of range",
                  "rank must be below world_size, sizes and epochs at least 1, pad_to at least the rows' length.",
                  "Correct the option that the message names."),
    "E705": Entry("The state belongs to other data", "The data set was rebuilt since the state was saved, so samples have moved.",
                  "Load the version that the run was trained on as NODE@N (`ingot log NODE`), or begin a new epoch without it."),
    "E706": Entry("The state belongs to another order", "With another seed or shuffle the same sample number is another sample.",
                  "Load with the seed and shuffle of the state."),
    "E707": Entry("Not a loader state", "The mapping does not have the fields that state_dict() returns.",
                  "Save and restore what state_dict() returned, unchanged."),
    "E708": Entry("Gold files do not fit together", "The pack index names a document or tokens that are not there, or a file changed.",
                  "Delete the gold folder of that node in the lake and run the pipeline again."),
    "E709": Entry("PyTorch is not installed", "as_torch=True was asked for.",
                  "Install it (`pip install torch`), or use the numpy batches."),
    "E710": Entry("Fewer samples than one global batch", "With drop_last the loader would give no batch at all.",
                  "Use drop_last=False, a smaller batch_size or world_size, or more epochs."),
    "E711": Entry("No such pack", "The number is beyond the packs of this split.",
                  "`ingot status` shows how many packs a split has; they are numbered from 0."),
    "E750": Entry("No such row", "Nothing in the lake has this place, record id or source_id.",
                  "Give file:line as in `ingot rejects`, a record id, a source_id, or gold.train[PACK:TOKEN]."),
    # E9xx internal
}

# reason -> one sentence; the vocabulary of the rejects tables, in the order of the pipeline
REASONS: dict[str, str] = {
    # bronze and parsing
    "duplicate_key": "An object of the row has the same key twice, so its value is ambiguous.",
    "empty_row": "The row is empty, or white space only.",
    "invalid_json": "The row is not one well-formed JSON value (RFC 8259): cut off, badly quoted or badly punctuated.",
    "invalid_utf8": "The row holds bytes that are not UTF-8.",
    "lone_surrogate": "A string of the row has half of a surrogate pair (\\ud800 to \\udfff), which is not a character.",
    "non_finite_number": "The row holds NaN, Infinity or -Infinity, which JSON does not have.",
    "nul_byte": "The row holds a NUL byte, usually from a damaged or sparsely written file.",
    "too_deep": "The objects and arrays of the row are nested deeper than 512 levels.",
    "trailing_data": "The row goes on after its JSON value, as when a line break between two rows is lost.",
    # conform
    # silver steps
    "python_filter": "A user's Python step did not return the row.",
    # gold
    "too_long": "The document has more tokens than gold.max_length, and gold.overflow is drop.",
    "no_trained_tokens": "No token of the document would be trained under gold.train_on (within max_length when truncating).",
}
