"""A log of any length, ready in a second: where each answer lies, how it ended, and the figures.

`log.read_log` parses every line whole, which is right for all who judge a log; a page that opens
one of 100,000 answers cannot wait for it. Here a line that looks as our own writer makes it is read
by its beginning and its end, and what the model wrote in between is passed over:

    {"type":"sample","id":"q7","repeat":0,"subject":"law","request_sha256":"…","reply":
    {…}                                                               passed over
    ,"error":null,"scores":{"box":{"outcome":"wrong",…}},"purity":[9,0,0],"gold":"A","seconds":1.5}

No text of a model can stand in for the end: a bare `,"error":` is always a key, since inside a text
its quotes are escaped, and a reply has no such key. Every other line is parsed and checked as
`read_log` does it, with the same errors. What is not seen here: damage inside a reply, which shows
when that answer is read.

The index stays in memory and is read on as the file grows (`refresh`); a file that became shorter
or another one is read anew. About 120 bytes for an answer, in columns.

Knows the shape of the records. Knows nothing of tasks or pages.
"""

from __future__ import annotations

import json
import math
import os
import re
import statistics
from array import array
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import compress
from pathlib import Path
from typing import IO, Any, Literal

from formosa.errors import LogError
from formosa.files import explain_read_error, is_locked
from formosa.results.effort import Effort, Purity
from formosa.results.log import OUTCOMES, Record, brief, check_sample, check_start
from formosa.results.metrics import Outcomes, Score
from formosa.results.tally import score_of

State = Literal["finished", "running", "interrupted"]

_PLACES = {name.encode(): place for place, name in enumerate(OUTCOMES)}
_CORRECT, _FAILED = OUTCOMES.index("correct"), OUTCOMES.index("failed")
_AT_ONCE = 4096  # rows
_UNKNOWN = -1  # a number that the log does not say
_NOTHING, _NOTHING3 = (_UNKNOWN,) * 2, (_UNKNOWN,) * 3
_REPEATS = 1 << 32  # more than any question is asked

_TEXT = rb'"(?:[^"\\]++|\\.)*+"'
_HEAD = re.compile(
    rb'\{"type":"sample","id":"([^"\\]*+)","repeat":(\d{1,9}),"subject":"([^"\\]*+)",'
    rb'"request_sha256":"[0-9a-f]*+","reply":'
)
_USAGE = re.compile(rb',"usage":\[(\d{1,18}),(\d{1,18})[,\]]')
_SECONDS = re.compile(rb',"seconds":(\d{1,12}(?:\.\d{1,12})?)\}\n')
_PURITY = rb'(?:,"purity":(?:null|\[(\d{1,18}),(\d{1,18}),(\d{1,18})\]))?,"gold":'


class LogIndex:
    """The index of one log. Not safe to be refreshed by one thread while another reads it.

    Attributes:
        path: the log.
        start: its first record.
        end: its last record, or None where samples are missing or came after it.
        ids: each question's id, in the order of their first answers.
        subjects: each subject's name.
        question, repeat, subject: of each answer; the first and the last are places in the lists
            above.
        outcome: for each scorer, of each answer its place in `OUTCOMES`.
        offset: where the line of each answer begins.

    Raises:
        LogError: as `read_log`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._forget()
        self.refresh()

    def _forget(self) -> None:
        self.start: Record = {}
        self.end: Record | None = None
        self.scorers: list[str] = []
        self.ids: list[str] = []
        self.subjects: list[str] = []
        self.question, self.repeat, self.subject = array("I"), array("Q"), array("I")
        self.outcome: dict[str, bytearray] = {}
        self.offset = array("Q")
        self.seconds = array("d")  # nan: the log does not say
        self.tokens = (array("q"), array("q"))  # of the prompts and of the replies
        self.purity_counts = (array("q"), array("q"), array("q"))  # see `results/effort.py`
        # In the order in which `_put` fills them; a column for each scorer follows.
        self._columns: list[Any] = [self.question, self.repeat, self.subject, self.offset]
        self._columns += [self.seconds, *self.tokens, *self.purity_counts]
        self._waiting: list[tuple[Any, ...]] = []  # rows that stand in no column yet
        self._tail: re.Pattern[bytes] | None = None
        self._questions: dict[str, int] = {}
        self._subjects: dict[bytes, int] = {}
        self._rows: dict[int, int] = {}
        self._file: tuple[int, int] = (0, 0)  # device and number
        self._seen: tuple[int, int] = (-1, -1)  # its size and its time at the last look
        self._first = b""  # its first line
        self._read = 0  # bytes of whole lines
        self._line = 0

    def __len__(self) -> int:
        return len(self.offset)

    @property
    def version(self) -> tuple[int, int]:
        """Another value whenever the log has other answers."""
        return self._file[1], self._read

    @property
    def planned(self) -> int:
        """How many samples the plan asks for: questions (of this shard) times repeats."""
        plan = self.start["plan"]
        return int((plan.get("shard") or plan)["samples"]) * int(plan["repeats"])

    def state(self) -> State:
        """Whether the run is over, going on (somebody holds the log's lock), or was stopped."""
        if self.end is not None:
            return "finished"
        return "running" if is_locked(self.path) else "interrupted"

    def refresh(self) -> bool:
        """Read what was appended since; whether there was something.

        Raises:
            LogError: as `read_log`.
        """
        try:
            with self.path.open("rb", buffering=1 << 20) as file:
                status = os.fstat(file.fileno())
                found, seen = (status.st_dev, status.st_ino), (status.st_size, status.st_mtime_ns)
                if seen == self._seen and found == self._file:
                    return False
                shorter = status.st_size < self._read
                rewritten = status.st_size == self._seen[0]  # and yet another time
                # A file that was removed and begun again may get its old number.
                begun_anew = file.read(len(self._first)) != self._first
                if found != self._file or shorter or rewritten or begun_anew:
                    self._forget()
                before = self._read
                file.seek(before)
                try:
                    self._read_on(file)
                finally:
                    self._fill()
                self._file, self._seen = found, seen
        except OSError as error:
            problem = explain_read_error(error, self.path)
            raise LogError(
                problem.message, f"list the logs there are: formosa eval ls {self.path.parent}"
            ) from error
        except LogError:
            self._forget()
            raise
        if not self.start:
            raise LogError(f"{self.path} is empty: the run was stopped before its first record.")
        return self._read != before

    def _read_on(self, file: IO[bytes]) -> None:
        for line in file:
            if not line.endswith(b"\n"):
                return  # it is being written, or the writer was killed here
            self._line += 1
            if not self._quick(line):
                self._careful(line)
            self._read += len(line)
            if len(self._waiting) >= _AT_ONCE:
                self._fill()

    def _quick(self, line: bytes) -> bool:
        """Take a sample as our writer writes it; False where it looks otherwise."""
        head = _HEAD.match(line)
        if head is None or self._tail is None:
            return False
        middle = line.find(b',"error":', head.end())
        tail = self._tail.match(line, middle) if middle > 0 else None
        seconds = _SECONDS.match(line, line.rfind(b',"seconds":')) if tail else None
        if tail is None or seconds is None:
            return False
        *names, han, simplified, mainland = tail.groups()
        places = [_PLACES.get(name, _UNKNOWN) for name in names]
        if _UNKNOWN in places:
            return False
        id, repeat, subject = head.groups()
        number = self._subjects.get(subject)
        try:
            text = id.decode()
            if number is None:
                number = self._subject(subject.decode())
        except UnicodeDecodeError:
            return False
        usage = _USAGE.match(line, max(0, line.rfind(b',"usage":[', head.end(), middle)))
        self._put(
            text,
            int(repeat),
            number,
            places,
            float(seconds[1]),
            (int(usage[1]), int(usage[2])) if usage else None,
            (int(han), int(simplified), int(mainland)) if han else None,
        )
        return True

    def _careful(self, line: bytes) -> None:
        """Take any line, checked as `read_log` does it."""
        if not line.strip():
            return
        number = self._line
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LogError(f"{self.path}:{number} is not JSON: {error}.") from error
        kind = record.get("type") if isinstance(record, dict) else None
        if not self.start:
            if kind != "start":
                raise LogError(f"{self.path} is not an evaluation log: line {number} is no start.")
            self.start, self._first = check_start(self.path, record), line
            self.scorers = [str(name) for name in self.start["scorers"]]
            self.outcome = {name: bytearray() for name in self.scorers}
            self._columns.extend(self.outcome.values())
            self._tail = _tail(self.scorers)
        elif kind == "sample":
            check_sample(self.path, number, record, self.start)
            made = brief(record, self.scorers)
            self._put(
                made.id,
                made.repeat,
                self._subject(made.subject),
                [OUTCOMES.index(outcome) for outcome in made.outcomes],
                made.seconds,
                made.tokens,
                made.purity,
            )
        elif kind == "end":
            self.end = record
        else:
            raise LogError(
                f"{self.path}:{number} is damaged: a record of the type {kind!r}.",
                "keep the file for inspection and run into another folder (--out)",
            )

    def _subject(self, name: str) -> int:
        """The subject's place, now also by the bytes it has in the file."""
        data = name.encode("utf-8", "surrogatepass")
        if data not in self._subjects:
            self._subjects[data] = len(self.subjects)
            self.subjects.append(name)
        return self._subjects[data]

    def _put(
        self,
        id: str,
        repeat: int,
        subject: int,
        places: Sequence[int],
        seconds: float | None,
        tokens: tuple[int, int] | None,
        purity: tuple[int, int, int] | None,
    ) -> None:
        questions = self._questions
        question = questions.setdefault(id, len(questions))
        count = len(self._rows)
        row = self._rows.setdefault(question * _REPEATS + repeat, count)
        if question == len(self.ids):
            self.ids.append(id)
        self.end = None
        if seconds is None:
            seconds = math.nan
        prompt, reply = tokens or _NOTHING
        han, simplified, mainland = purity or _NOTHING3
        values = (question, repeat, subject, self._read, seconds, prompt, reply,
                  han, simplified, mainland, *places)  # fmt: skip
        if row == count:
            self._waiting.append(values)
            return
        self._fill()
        for column, value in zip(self._columns, values, strict=True):
            column[row] = value  # asked again: the last answer counts

    def _fill(self) -> None:
        """Put the waiting rows into the columns: column by column, since that is quicker."""
        for column, values in zip(self._columns, zip(*self._waiting, strict=True), strict=False):
            column.extend(values)
        self._waiting.clear()

    # What is in it

    def id(self, row: int) -> str:
        return self.ids[self.question[row]]

    def row(self, id: str, repeat: int) -> int | None:
        """Where the answer to a question's repeat is; None where there is none."""
        question = self._questions.get(id)
        if question is None or not 0 <= repeat < _REPEATS:
            return None
        return self._rows.get(question * _REPEATS + repeat)

    def rows_of(self, id: str) -> list[int]:
        """All answers to a question, by repeat."""
        question = self._questions.get(id)
        if question is None:
            return []
        rows = [row for row, asked in enumerate(self.question) if asked == question]
        return sorted(rows, key=lambda row: self.repeat[row])

    def record(self, row: int) -> Record:
        """The whole record of an answer.

        Raises:
            LogError: the file was changed or the line is damaged.
        """
        return next(self.records([row]))

    def records(self, rows: Sequence[int]) -> Iterator[Record]:
        """The whole records of some answers; errors as of `record`."""
        try:
            with self.path.open("rb") as file:
                for row in rows:
                    file.seek(self.offset[row])
                    record = json.loads(file.readline())
                    check_sample(self.path, 0, record, self.start)
                    yield record
        except (OSError, ValueError, RecursionError, AttributeError) as error:
            raise LogError(f"{self.path} is damaged, or was changed meanwhile: {error}.") from error

    # Figures: those of `results/metrics.py` and `results/effort.py`

    @property
    def failures(self) -> int:
        """How many samples never got an answer."""
        return sum(self._failed())

    def outcomes(self, scorer: str, *, without: Collection[str] = ()) -> Outcomes:
        """The five counts; `without` as in `score`."""
        counts = Counter(self.outcome[scorer])
        if left_out := self._numbers(without):
            pairs = zip(self.question, self.outcome[scorer], strict=True)
            counts.subtract(place for question, place in pairs if question in left_out)
        return Outcomes(*(counts[place] for place in range(len(OUTCOMES))))

    def _numbers(self, ids: Collection[str]) -> set[int]:
        """The places of those questions that are in the log."""
        return {self._questions[id] for id in ids if id in self._questions}

    def score(self, scorer: str, *, without: Collection[str] = ()) -> Score | None:
        """The share of correct answers; None where there are no answers (yet).

        Args:
            scorer: its name.
            without: ids of questions that are left out.
        """
        left_out = self._numbers(without)
        of, right = Counter(self.question), self._right(scorer, self.question)
        kept = (question for question in of if question not in left_out)
        return score_of(Counter((right[question], of[question]) for question in kept))

    def by_subject(self, scorer: str) -> dict[str, Score]:
        """A score for every subject, in the order of their names."""
        keys = list(zip(self.subject, self.question, strict=True))
        of, right = Counter(keys), self._right(scorer, keys)
        tallies: dict[int, Counter[tuple[int, int]]] = {}
        for key, answers in of.items():
            tally = tallies.get(key[0])
            if tally is None:
                tally = tallies[key[0]] = Counter()
            tally[right[key], answers] += 1
        made = {self.subjects[subject]: score_of(tally) for subject, tally in tallies.items()}
        return {name: score for name, score in sorted(made.items()) if score is not None}

    def _right(self, scorer: str, keys: Sequence[Any]) -> Counter[Any]:
        """How often each key was answered correctly."""
        return Counter(compress(keys, map(_CORRECT.__eq__, self.outcome[scorer])))

    def _failed(self) -> list[bool]:
        columns = list(self.outcome.values())
        failed = [place == _FAILED for place in columns[0]] if columns else []
        for column in columns[1:]:
            failed = [was or place == _FAILED for was, place in zip(failed, column, strict=True)]
        return failed

    def effort(self) -> Effort:
        """Tokens and time."""
        answered = [not failed for failed in self._failed()]
        prompts, replies = (
            [count for count in compress(column, answered) if count != _UNKNOWN]
            for column in self.tokens
        )
        times = [time for time in compress(self.seconds, answered) if not math.isnan(time)]
        return Effort(
            sum(answered),
            sum(prompts) if prompts else None,
            sum(replies) if replies else None,
            statistics.median(times) if times else None,
            round(math.fsum(times), 3),
        )

    def purity(self) -> Purity:
        """In which Chinese the replies are."""
        sums = (sum(count for count in column if count > 0) for column in self.purity_counts)
        han, simplified, mainland = sums
        if not han:
            return Purity(0, None, None)
        return Purity(han, simplified / han, mainland / han)


def _tail(scorers: Sequence[str]) -> re.Pattern[bytes]:
    """The end of a sample, from its `error`: one group a scorer, and three for the purity."""
    parts = (
        rb'%s:\{"outcome":"(\w++)","answer":(?:null|%s),"why":%s\}'
        % (
            re.escape(json.dumps(name, ensure_ascii=False).encode("utf-8", "surrogatepass")),
            _TEXT,
            _TEXT,
        )
        for name in scorers
    )
    return re.compile(
        rb',"error":(?:null|' + _TEXT + rb'),"scores":\{' + b",".join(parts) + rb"\}" + _PURITY
    )
