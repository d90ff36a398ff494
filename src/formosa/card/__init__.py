"""Model cards: README.md with front matter, tables, and claims that lead to the files of a run.

values.py    front matter ↔ text, in the file's own order
hub.py       what the model hub accepts: licences, languages, the shape of a model-index
markdown.py  tables of a Markdown text, found outside of code and comments
claims.py    a printed figure and where it comes from; `printed` makes its text again
pages.py     the files of a run folder as rows of a card
card.md.jinja, write.py   the card itself
verify.py    a card against its files: findings with stable codes
"""
