"""The leaderboard: models by tasks, in the manner of the tables of model cards.

entries.py  one log as an entry: whose, of which table and column, its scores
board.py    the tables: which cells can be ranked, which of them can't be told apart
claims.py   figures that cards claim, as they stand there
values.py   what the template shows
words.py    the texts in both languages
pages.py    addresses, files, export
"""
