"""Where rows come from: files and data sets, streamed, with what a report must know of them.

    config.py      SourceConfig: one entry of `sources:` in a recipe
    record.py      Record and OpenSource: what every kind of source gives
    local.py       files, folders and patterns of files
    opened.py      bytes of a file, decompressed; other encodings than UTF-8 refused
    lines.py       JSON lines, plain or compressed
    array.py       one long JSON array, read piece by piece
    parquet.py     Parquet, with the keys that Arrow merged found and refused
    hub.py         data sets of the Hugging Face hub, at one commit
    splits.py      which of a data set's files are the split that was asked for
    named.py       sets that are known here by a short name
    opening.py     open_source: from a SourceConfig to an OpenSource

Knows nothing of messages: `formats` reads those out of a record.
"""
