"""The page of a card's check: its text line by line, and what `card verify` finds beside it.

pages.py     addresses and files
lines.py     the text as lines of spans: what they are, and which figures are backed
differences.py  two cards beside each other
words.py     what the page says, in both languages
codes.py     what each finding is about, in Chinese
"""
