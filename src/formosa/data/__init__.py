"""Training rows: read them, make them, check them, and say what came in and went out.

    rows.py       Row: one conversation with its tools, and the JSONL of it
    config.py     DataConfig: the `data:` part of a recipe
    validate.py   what a row must keep to before a model may learn it
    prepare.py    sources → train.jsonl, heldout.jsonl, report.json
    synth/        a seeded generator of zh-TW and English tool-calling conversations

Knows nothing of tokens or masks: `train` renders the rows and counts their tokens.
"""
