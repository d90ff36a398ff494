"""What a check says: a finding with a stable code, and the table of all codes.

    error      it is wrong, or what it rests on is missing
    warning    it will mislead a reader, a program or the hub
    note       worth knowing; nothing has to be done
    claimed    a figure that nothing here supports and nothing contradicts

A code never changes its meaning; docs/cards.md explains each for people. Places and messages may
hold a stranger's words: whoever prints them makes them visible first.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "note", "claimed"]


class Finding(NamedTuple):
    """One thing found.

    Attributes:
        code: stable, for programs; a key of CODES.
        where: for people.
        line: of the file, from 1; 0 where it is about no single line.
        check: for a claimed figure, what would have to be done to check it.
    """

    code: str
    severity: Severity
    where: str
    message: str
    line: int = 0
    check: str = ""


def found(code: str, line: int, where: str, message: str, *, check: str = "") -> Finding:
    """A finding with the severity that its code has."""
    return Finding(code, CODES[code][0], where, message, line, check)


CODES: dict[str, tuple[Severity, str]] = {
    # front matter
    "front-matter": ("error", "no front matter, or it can't be read"),
    "key-unknown": ("warning", "a key of the front matter that the hub does not know"),
    "key-type": ("warning", "a value of another kind than the hub reads"),
    "license-missing": ("warning", "no licence"),
    "license-unknown": ("error", "no licence id of the hub"),
    "license-name-missing": ("warning", "`license: other` without a name or a link"),
    "language": ("warning", "no language, or none that ISO 639 could know"),
    "base-model": ("warning", "a base model that is no hub id"),
    "base-model-relation": ("warning", "how the model comes from its base is missing or unknown"),
    "base-model-several": ("note", "several base models, which the hub shows as a merge"),
    "dataset-id": ("warning", "a data set that is no hub id"),
    "library-unknown": ("note", "a library that the hub does not list"),
    "pipeline-missing": ("note", "no pipeline tag"),
    "pipeline-unknown": ("warning", "no pipeline tag of the hub"),
    # model-index
    "model-index-shape": ("error", "not the hub's shape"),
    "model-index-value": ("warning", "a value that is no finite number"),
    "verified": ("error", "`verified: true` in a card of ours"),
    "verified-unsupported": ("note", "`verified: true` without the hub's own token"),
    "revision-short": ("warning", "a revision that is not a full commit hash"),
    "revision-missing": ("note", "an entry that says no revision of its data set"),
    "index-not-shown": ("note", "an entry of the model-index that no table shows"),
    "index-and-table-differ": ("error", "the table and the model-index say other numbers"),
    "index-unit": ("warning", "a share of 1 here, per cent there"),
    # figures
    "text-and-table-differ": ("warning", "the text says another number than table and model-index"),
    "plus-minus-unit": ("warning", "a ± in another unit than its value"),
    "value-above-100": ("error", "more than 100 per cent"),
    "decimals-differ": ("note", "one column with several numbers of decimals"),
    "mean-differs": ("warning", "a column called a mean that is not the mean of its row"),
    "mean-rounding": ("note", "a mean that fits only if its cells are rounded"),
    "mean-mixed": ("warning", "one column that is the mean in some rows and not in others"),
    "table-without-revision": ("note", "models compared without saying which revision"),
    # names and links
    "name-differs": ("warning", "the model has another name elsewhere in the card"),
    "repository-link": ("warning", "the link to the repository leads to another model"),
    "base-model-text": ("warning", "the text names another base model than the front matter"),
    "license-link": ("warning", "the licence link leads to another model's licence"),
    "license-text": ("warning", "the text names another licence than the front matter"),
    "link-text": ("warning", "a link that leads elsewhere than its text says"),
    "citation-link": ("warning", "the citation leads to another model"),
    # code
    "code-syntax": ("error", "a code block that does not parse"),
    "code-language": ("warning", "a code block that is not in the language it says"),
    "code-name": ("warning", "code that uses a name which no block defines"),
    "result-by-position": ("error", "results of tools are paired with calls by position"),
    "client-field": ("warning", "code that reads a field which servers have renamed"),
    "code-fails": ("error", "the walk-through fails when it is run"),
    "code-ran": ("note", "the walk-through was run, and how"),
    "code-not-run": ("note", "the walk-through can't be run here"),
    # commands
    "flag-unknown": ("error", "a flag that the engine does not know"),
    "flag-value": ("error", "a value that the engine does not know for this flag"),
    "command-model": ("warning", "a command or code that loads another model than the card's"),
    "command-list": ("note", "which version of the engine commands were checked against"),
    # claims of cards that Formosa wrote
    "claims-missing": ("error", "figures of ours without their claims"),
    "claims-unreadable": ("error", "claims, or the line that names them, that can't be read"),
    "file-missing": ("error", "a claim's file is not there, or lies outside the card's folder"),
    "sha256-differs": ("error", "the file is not the one that the card was written from, or with"),
    "log-unfinished": ("error", "a log without its last record"),
    "log-end-differs": ("error", "the last record says other figures than the samples do"),
    "not-computable": ("error", "the file does not hold what the claim says, or can't be read"),
    "number-differs": ("error", "the claim's text is not what follows from the file"),
    "place-missing": ("error", "the table, row, column or entry of a claim is not in the card"),
    "text-differs": ("error", "the cell says other than its claim"),
    "model-index-differs": ("error", "the entry says other than its claim, or than the log"),
    # any card's figures against logs, and asked again
    "log-unreadable": ("warning", "a file of --logs that begins like a log and can't be read"),
    "log-differs": ("error", "a whole log of the same model and benchmark says another number"),
    "log-partial": ("note", "a log of the same benchmark that asked only a part of it"),
    "log-supports": ("note", "a log that says the same"),
    "rerun-reproduced": ("note", "asked again, and the claimed value is inside the interval"),
    "rerun-differs": ("warning", "asked again, and the claimed value is outside the interval"),
    "rerun-model": ("note", "asked again was a model of another name than the card's"),
    "rerun-impossible": ("note", "what can't be asked again here, and why"),
    # what nothing supports
    "number-without-claim": ("claimed", "a figure in a table that no log supports"),
    "model-index-without-claim": ("claimed", "an entry of the model-index that no log supports"),
    "text-number": ("claimed", "a score in the text that no log supports"),
    # the check itself
    "too-many": ("note", "more findings of one code than are listed"),
    "check-failed": ("warning", "a check could not read this card; the others have"),
}
