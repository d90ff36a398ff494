"""Training rows: read them, make them, clean and judge them, and say what became of each.

    rows.py             Row: one conversation with its tools, or a document; and the JSONL of it
    config.py           DataConfig: the `data:` part of a recipe

    sources/            where rows come from: files, data sets of the hub
    formats/            how a row may be written
    synth/              a seeded generator of zh-TW and English tool-calling conversations
    teacher/            conversations by a model at an endpoint, each of them checked

    cleaning.py         script, punctuation, vocabulary, purity
    validate.py         what a row must keep to before a model may learn it
    plain_schema.py     JSON schemas that are sound at a glance
    quality.py          replies that should not be learnt
    duplicates.py       rows that say the same
    decontaminate.py    rows that a benchmark asks
    mixture.py          how many rows of each source, and which

    prepare.py          all of it: sources → train.jsonl, heldout.jsonl, rejects.jsonl, report.json
    reading.py          the first pass: every row is read, cleaned, judged
    spool.py            rows on disk between the passes
    selection.py        the second pass: what only the whole shows
    writing.py          the files, with ids that differ
    rejects.py          refused rows, and why
    report.py           the shape of report.json
    account.py          its figures

Knows nothing of tokens or masks: `train` renders the rows and counts their tokens. Knows no
benchmark by name: their texts are handed in.
"""
