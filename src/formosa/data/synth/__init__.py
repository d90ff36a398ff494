"""A seeded generator of tool-calling conversations in zh-TW and English.

    domains/*.yaml   the tools, what they take, and the ways people ask for them (plain data)
    words.yaml       names of cities, dishes, topics … in both languages
    phrases.yaml     what surrounds a question: greetings, connectors, refusals, chat
    wording.py       the small grammar of a question
    words.py         reads words.yaml
    grammars.py      invented names, titles, dates, codes
    slots.py         values and their words
    catalogue.py     reads domains/
    asking.py        a tool → a question and its call
    calculate.py     true results for calculating tools
    dialogue.py      the kinds of conversation
    generate.py      rows by number and seed

No text, tool or value here comes from a benchmark.
"""
