"""How a row may be written, and how each way becomes messages and tools.

    draft.py         Draft, Format, Setting and Reader: what every format gives and takes
    registry.py      FORMATS by name
    detect.py        which one format fits the first rows; open_reader
    turns.py         messages put in order: ids of calls, results to calls, thoughts
    fields.py        texts, lists and tools out of a row, with the path of what does not fit
    schemas.py       Python type names and short forms, to JSON schema
    problems.py      what can be wrong with a row, each with the short name it is counted under
    spelling.py      the texts of a JSON value's parts, as they are spelled

and one module for each format, or for two that are close. No format guesses: what fits none, what
fits several and what would be lost is an error that names the recipe's key to put it right.
"""
