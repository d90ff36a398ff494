"""The comparison of logs of one task, and of whole runs.

sides.py    logs beside each other: scores, paired differences, what speaks against them
pair.py     two logs question by question: subjects, and the answers that changed
charts.py   bars with intervals, the scatter
figures.py  percent, points and p as text
query.py    what an address asks for
values.py   what the template of logs shows
runs.py     whole runs, paired by task
words.py    the texts in both languages
pages.py    addresses, files, export
"""
