"""The page of a model's sheet: what it is, where it comes from, what it claims, what it needs.

pages.py     addresses and files
words.py     what the page says, in both languages
"""
