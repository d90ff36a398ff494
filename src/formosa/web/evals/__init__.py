"""The evaluation pages: all logs in a table, a log with its questions, a question with its repeats.

listing.py    the table of logs
library.py    logs and their questions, kept open between two looks
questions.py  the questions, put together again from the data set
figures.py    a log's facts, scores, outcomes, subjects
find.py       filter, search, pages of the list of answers
search.py     which answers hold a text
answers.py    one answer in a line of that list, and whole
reasons.py    a scorer's reason in the reader's language; where in the reply it read the answer
words.py      what the pages say
pages.py      the routes
export.py     a log with its questions as one file
"""
