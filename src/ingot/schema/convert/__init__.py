"""Converters: rows of known formats, read columnar from a tape of JSON nodes, become columns of the record schema.

    cursor       where in the JSON each unit is being read
    faults       the first fault of each unit: reason and evidence
    batch        the units of one part on their way to becoming records
    turns        messages as flat columns, and their assembly into lists
    calls        tool calls and tool lists, from objects or from JSON text in strings
    messages     one list of turns per unit, in the shapes of OpenAI, ShareGPT or a field map
    dialogue     what must hold between the turns of a conversation
    sft, preference, rlvr, trees, fieldmap   the formats
"""
