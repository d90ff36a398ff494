"""A seeded generator of tool-calling conversations in zh-TW and English.

    domains/*.yaml   the tools, what they take, and the ways people ask for them (plain data)
    words/*.yaml     names of cities, dishes, stations, works of art … in both languages
    pieces.yaml      pieces of invented names, titles, files
    phrases.yaml     what surrounds a question: greetings, connectors, refusals, errors
    chat.yaml        ordinary questions with their answers
    wording.py       the small grammar of a question
    words.py         reads words/
    grammars.py      invented names, titles, dates, codes
    slots.py         values and their words
    times.py         days and clock times
    structures.py    lists of objects, matrices, null
    notation.py      how a slot is written down
    specs.py         a tool, and the schema that a model sees
    catalogue.py     reads domains/
    asking.py        a tool → a question and its call
    calculate.py     true results for calculating tools
    results.py       what tools give back, errors too, and what is said of it
    stage.py         what one conversation is made with
    smalltalk.py     questions that need no tool
    novelty.py       which rows may be kept
    sets.py          several questions about the same tools
    thinking.py      the short reasoning of a thinking twin
    dialogue.py      the kinds of conversation
    generate.py      rows by number and seed
    config.py        the part of a recipe

No text, tool or value here comes from a benchmark.
"""
