"""The chat page of `formosa serve`, and conversations as pages to keep.

pages.py  routes, and what the page is given
tools.py  which tools there are, and running their calls
saved.py  a conversation as one page
words.py  in both languages
"""
