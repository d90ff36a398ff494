"""The checks of a card: functions from a card to findings, in one list.

    finding.py       what a check says, and the table of codes
    subject.py       the card as checks see it
    front_matter.py  keys, licence, languages, base models, data sets
    model_index.py   shape, values, revisions, `verified`
    claims.py        figures of our cards, again from their files
    agreement.py     tables, text and model-index against one another
    logs.py          figures against logs from elsewhere
    units.py         ± and per cent, means of rows
    names.py         names, links, licences, citations
    code_blocks.py   do they parse, and define what they use
    tool_results.py  calls and results paired by position
    commands.py      flags of engines, models that are served
    unclaimed.py     figures that nothing supports
    protocol.py      how a figure would be asked again

A check opens no network and runs nothing of the card. A card comes from strangers: every check
takes any text, in linear time, and says what it found in a finding.
"""
