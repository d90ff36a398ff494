"""Model cards: README.md with front matter, tables, and claims that lead to the files of a run.

values.py    front matter ↔ text, in the file's own order
hub.py       what the model hub accepts: licences, languages, the shape of a model-index
markdown.py  tables of a Markdown text, found outside of code and comments
claims.py    a printed figure, where it comes from, and how it is written into the card
run_files.py, figures.py      the files beside a card, and the figures they lead to
ledger.py, tables.py, stage_tables.py   cells filled from them, in two languages
card.zh.md.jinja, card.en.md.jinja, facts.py, licences.py, tool_flow.py, write.py   the card itself
verify.py    a card against its files: findings with stable codes
sheet/       one view of a model wherever it is; differences.py, two cards or GGUF files compared
"""
