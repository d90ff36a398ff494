"""Is this text written as Taiwan writes? And how would Taiwan write it?

    script.py       characters that only Simplified Chinese has, and only Traditional Chinese
    vocabulary.py   words of mainland China, and what Taiwan says instead
    purity.py       both, counted in a text
    convert.py      the script of a text; Simplified Chinese to Taiwan's Traditional
    punctuation.py  full-width marks in Chinese prose

For the replies of a model and for the rows of its training data alike. Knows characters and words.
Knows nothing of models.
"""
