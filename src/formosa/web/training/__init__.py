"""The page of trainings: curves that follow a log, and the rows as a model learns them.

pages.py     addresses and files
state.py     running, finished or stopped; steps and the time that is left
charts.py    a log's curves as pictures
rows.py      rows by message, with what is learnt of them
words.py     what the page says, in both languages
"""
