"""Rows from a teacher: a model behind an OpenAI-compatible endpoint writes them, and we check.

    offers.py     the tools that a row can be about: our catalogue's, or a user's own
    config.py     how many rows, of what, and how the teacher is asked
    seeds.py      what each row is to be about, by its number
    prompts.py    what the teacher is asked
    checks.py     what a question, a call and an answer must keep to
    make.py       from a seed to a row, or to the reason why there is none
    journal.py    every answer, on the disk before the next question
    cost.py       tokens and money, before and after
    teach.py      all seeds, several at a time; the folder of files

A teacher is believed in nothing that can be checked, and what can't be is asked twice.
"""
