"""Is this text written as Taiwan writes?

    script.py      characters that only Simplified Chinese has
    vocabulary.py  words of mainland China, and what Taiwan says instead
    purity.py      both, counted in a text

For the replies of a model and for the rows of its training data alike. Knows characters and words.
Knows nothing of models, and changes no text.
"""
