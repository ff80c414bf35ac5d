"""Converters: rows of known formats, read columnar from a tape of JSON nodes, become columns of the record schema.

batch        the units of one part on their way to becoming records, and the first fault of each
turns        messages as flat columns, and their assembly into lists
calls, parts tool calls, tool lists and multi-part content, from objects or from JSON text in strings
messages     one list of turns per unit, in the shapes of OpenAI, ShareGPT or a field map
dialogue     what must hold between the turns of a conversation
sft, preference, rlvr, trees, fieldmap   the formats
"""
