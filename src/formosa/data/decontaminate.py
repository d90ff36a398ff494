"""Rows that a benchmark asks, so that a score would measure memory.

    index = BenchmarkIndex([Benchmark("bfcl-simple", texts, tools)], config)
    index.judge(row)        Rejection("benchmark: bfcl-simple", "…"), or None

A row is a benchmark's if

- a turn of it, or the whole document, equals a text of the benchmark;
- it shares a run of 8 words, or in Chinese of 13 letters and digits more than half of which are Han
  characters (of GPT-3's paper and of what the Llama teams do, for a language without spaces);
- it offers a tool whose name and description equal those of one of the benchmark's.

Width and case of letters, punctuation and white space don't count, so `get_weather` equals
`getWeather`. Words are compared within stretches without Han characters. Looked at are the turns of
system, user and assistant, and reasoning; results of tools are not, since no row teaches them.
Scripts are not folded: rows are compared after cleaning, so a Simplified copy of a Traditional
question is found if its source says `convert`, and not if it says `keep`.

**What proves nothing** is left out: runs in which fewer than three words say something (`which of
the following is true about the`, `after that i would like to know the`), runs that stand in more
than `boilerplate` different texts of the benchmarks (the phrase that puts every question), and
equal texts that are short (`謝謝`). Of 2,054 rows of Seal-Tools 30 share any 8 words with BFCL, and
10 share words that say something.

The rejection quotes the run and says which text of the benchmark has it. Of a private benchmark
(GPQA asks not to show its questions) nothing is quoted.

Pure Python: a dictionary of all runs, some 120 bytes each; the texts of BFCL have 70,000 of them,
TMMLU+ about two million.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from formosa.data.cleaning_config import DecontaminationConfig
from formosa.data.rejects import Rejection
from formosa.data.rows import Row
from formosa.zh.script import HAN

VERSION = "1"
"""Counts up when other rows would be found."""

REASON = "benchmark: "

_QUOTED = 200  # characters of a text that a rejection shows
_TELLING = 3  # words in a run that are none of _SAYS_NOTHING
_COMMON = """
    a about above after all also am an and any are as at be been before being below best between
    both but by can choose consider correct could describe did do does each either else every
    explain false find following for from get give given had has have he help her here him his how
    i if in into is it its itself just kind know least less let like list ll make many may me
    might more most much must my need neither no none nor not now of on one only option options or
    other our out please provide re s say select she should show so some statement statements such
    t tell than thank that the their them then there these they this those to true under up us use
    using ve very want was we were what when where whether which while who whom whose why will
    with would yes you your question questions answer answers d m
"""
_SAYS_NOTHING = frozenset(_COMMON.split())
_WORD = re.compile(rf"[^\W_{HAN}]+")
_STRETCH = re.compile(rf"[^{HAN}]+")
_MARKS = re.compile(r"[\W_]+")
_HAN = re.compile(f"[{HAN}]")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What must not be trained on.

    Attributes:
        name: as it is counted and shown.
        texts: questions and whatever else a row must not hold.
        tools: (name, description) of each tool that is offered in it.
        private: its texts must not be quoted.
    """

    name: str
    texts: Sequence[str] = ()
    tools: Sequence[tuple[str, str]] = ()
    private: bool = False


class _Place(NamedTuple):
    """A text of a benchmark."""

    benchmark: Benchmark
    number: int  # from 1


class BenchmarkIndex:
    """All benchmarks, made ready for look-ups; of equal texts or runs the first is named.

    Args:
        benchmarks: in the order in which they are to be named.
        config: what counts.
    """

    def __init__(
        self, benchmarks: Sequence[Benchmark], config: DecontaminationConfig | None = None
    ) -> None:
        self.benchmarks = tuple(benchmarks)
        self._config = config or DecontaminationConfig()
        self._places: list[_Place] = []
        self._texts: dict[str, int] = {}  # without marks → number of its place
        # Hash of a run → its first place and in how many texts it stands, as place · most + times.
        # A hash of Python's is made anew in each process; it is never written down.
        self._runs: dict[int, int] = {}
        self._most = self._config.boilerplate + 2
        self._tools: dict[tuple[str, str], Benchmark] = {}
        for benchmark in self.benchmarks:
            for number, text in enumerate(benchmark.texts, start=1):
                self._add(_Place(benchmark, number), text)
            for name, description in benchmark.tools:
                key = self._tool(name, description)
                if key:
                    self._tools.setdefault(key, benchmark)

    def __reduce__(
        self,
    ) -> tuple[type[BenchmarkIndex], tuple[Sequence[Benchmark], DecontaminationConfig]]:
        # Another process has other hashes, so it makes the index anew.
        return BenchmarkIndex, (self.benchmarks, self._config)

    def judge(self, row: Row) -> Rejection | None:
        """Why the row must not be trained on; None where it may."""
        for text in _texts(row):
            folded = _fold(text)
            if self._config.equal:
                bare = _MARKS.sub("", folded)
                if len(bare) >= self._config.shortest_text and bare in self._texts:
                    return _rejection(self._places[self._texts[bare]], "A turn equals", text)
            runs = self._runs_in(folded) if self._config.documents or not row.text else ()
            for run in runs:
                found = self._runs.get(hash(run))
                if found is not None and found % self._most <= self._config.boilerplate:
                    words = run.count(" ") + 1
                    shared = f"{words} words" if words > 1 else f"{len(run)} characters"
                    place = self._places[found // self._most]
                    return _rejection(place, f"It shares {shared} with", run)
        for tool in row.tools:
            key = self._tool(tool.name, tool.description)
            if key and (benchmark := self._tools.get(key)):
                return Rejection(
                    REASON + benchmark.name,
                    f"It offers the tool {tool.name}, which {benchmark.name} offers, too.",
                )
        return None

    def _add(self, place: _Place, text: str) -> None:
        folded = _fold(text)
        bare = _MARKS.sub("", folded)
        if not bare or bare in self._texts:
            return  # a text that stands in several benchmarks counts once
        number = len(self._places)
        self._places.append(place)
        self._texts[bare] = number
        for run in set(self._runs_in(folded)):
            if not _tells(run):
                continue
            key = hash(run)
            found = self._runs.setdefault(key, number * self._most)
            if found % self._most < self._most - 1:
                self._runs[key] = found + 1

    def _runs_in(self, folded: str) -> Iterator[str]:
        """The runs of a folded text: words with spaces between them, or characters without."""
        if (length := self._config.words) is not None:
            for stretch in _STRETCH.findall(folded):
                words = _WORD.findall(stretch)
                for i in range(len(words) - length + 1):
                    yield " ".join(words[i : i + length])
        if (length := self._config.characters) is not None and _HAN.search(folded):
            bare = _MARKS.sub("", folded)
            for i in range(len(bare) - length + 1):
                yield bare[i : i + length]

    def _tool(self, name: str, description: str) -> tuple[str, str] | None:
        """What equal tools have in common; None for a tool that can't be compared."""
        if self._config.tools == "off":
            return None
        name, description = (_MARKS.sub("", _fold(text)) for text in (name, description))
        if self._config.tools == "name":
            return name, ""
        return (name, description) if description else None


def _texts(row: Row) -> Iterator[str]:
    if row.text:
        yield row.text
    for item in row.messages:
        if item.role != "tool":
            yield from (text for text in (item.content, item.reasoning) if text)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _tells(run: str) -> bool:
    """Whether a run says enough that sharing it is no accident."""
    if " " in run:
        words = {word for word in run.split() if not word.isdecimal()}
        return len(words - _SAYS_NOTHING) >= _TELLING
    return 2 * len(_HAN.findall(run)) > len(run) and len(set(run)) > len(run) // 3


def _rejection(place: _Place, what: str, text: str) -> Rejection:
    quoted = "" if place.benchmark.private else f": {text[:_QUOTED]}"
    return Rejection(
        REASON + place.benchmark.name,
        f"{what} text {place.number} of {place.benchmark.name}{quoted}",
    )
