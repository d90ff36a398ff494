"""Which of many texts are alike: each pair that may be is checked by its real texts.

    found = NearDuplicates(folder, threshold, bucket)
    found.add(number, text, kind)
    numbers, kept = found.find(without, text_of)

Up to 2,000 texts (of two million characters) are kept as they are, and no pair is missed
(`few_alike.py`, pure Python, so that a small recipe needs nothing). From there on, signatures go to
files and are looked at band by band (`minhash.py`, numpy). Which way is taken depends on the texts,
and never on what is installed.

Texts of another `kind` are never alike. See `duplicates.py` for what that means for rows, and for
the bounds in memory. Knows numbers and texts. Knows nothing of rows.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from formosa.data import minhash
from formosa.data.few_alike import alike_pairs

if TYPE_CHECKING:
    from formosa.data.minhash import Hashes

FEW, FEW_CHARACTERS = 2000, 2_000_000  # texts, up to which every pair is found; 300 MB
_BLOCK = 4096  # rows that are written at once
_CACHED = 4_000_000  # hashes of texts kept for the next comparison, 32 MB
_VAIN = 2  # buckets in which a text is compared in vain, at most
_REFUSED = 1_000_000  # pairs that were compared in vain, so that the next band needn't

TextOf = Callable[[int], str]


class NearDuplicates:
    """Texts by their signatures.

    Args:
        folder: where files may be written.
        threshold: Jaccard similarity from which on two texts are alike.
        bucket: up to so many texts with an equal band are compared each with each.
    """

    def __init__(self, folder: Path, threshold: float, bucket: int) -> None:
        self._threshold = threshold
        self._bucket = bucket
        self._count, self._rows = minhash.bands(threshold)
        self._numbers = array("q")
        self._characters = 0
        self._few: list[tuple[str, int]] | None = []  # (text, kind), until there are too many
        self._block: list[Hashes] = []
        self._kinds = array("Q")  # of the block
        self._files = [folder / f"duplicates.band{i}" for i in range(self._count)]
        for path in self._files:
            path.unlink(missing_ok=True)

    def add(self, number: int, text: str, kind: int = 0, signature: Hashes | None = None) -> None:
        """Take a text in; `signature` is that of the text, where somebody has made it already.

        Raises:
            UserError: there are many, and numpy is not installed.
        """
        self._numbers.append(number)
        if self._few is None:
            self._sign(text, kind, signature)
            return
        self._few.append((text, kind))
        self._characters += len(text)
        if len(self._few) > FEW or self._characters > FEW_CHARACTERS:
            few, self._few = self._few, None
            for text, kind in few:
                self._sign(text, kind)

    def _sign(self, text: str, kind: int, signature: Hashes | None = None) -> None:
        self._block.append(sign(text) if signature is None else signature)
        self._kinds.append(kind)
        if len(self._block) == _BLOCK:
            self._flush()

    def find(self, without: Sequence[int], text_of: TextOf) -> tuple[array[int], array[int]]:
        """The numbers of texts that are like an earlier one, ascending, and of those that stay.

        Args:
            without: numbers that are left out, ascending.
            text_of: the text with a number; asked for some, and for some again.
        """
        numbers: Sequence[int]
        if self._few is None:
            numbers, groups = self._by_bands(without, text_of)
        else:
            numbers, groups = self._by_pairs(self._few, set(without))
        moved, kept = array("q"), array("q")
        for i in range(len(numbers)):
            if (root := groups.root(i)) != i:
                moved.append(int(numbers[i]))
                kept.append(int(numbers[root]))
        return moved, kept

    def _by_pairs(
        self, few: Sequence[tuple[str, int]], without: set[int]
    ) -> tuple[Sequence[int], _Groups]:
        some = [i for i, number in enumerate(self._numbers) if number not in without]
        pairs = alike_pairs([few[i] for i in some], self._threshold)
        groups = _Groups(len(some), lambda a, b: True)
        for pair in pairs:
            groups.join(pair, 2)
        return [self._numbers[i] for i in some], groups

    def _by_bands(self, without: Sequence[int], text_of: TextOf) -> tuple[Any, _Groups]:
        self._flush()
        np = minhash.load_numpy()
        numbers = np.frombuffer(self._numbers, np.int64)
        stays = ~np.isin(numbers, np.asarray(without, np.int64), kind="sort")
        texts = _Texts(numbers[stays], text_of)
        groups = _Groups(
            len(texts), lambda a, b: texts.alike(a, b) >= self._threshold, _VAIN * self._bucket
        )
        for path in self._files:
            band = np.fromfile(path, np.uint64)[stays]
            for members in _buckets(band):
                groups.join(members, self._bucket)
        return texts.numbers, groups

    def _flush(self) -> None:
        if not self._block:
            return
        np = minhash.load_numpy()
        kinds = np.array(self._kinds, np.uint64)
        bands = minhash.band_hashes(np.stack(self._block), kinds, self._count, self._rows)
        for path, column in zip(self._files, bands.T, strict=True):
            with path.open("ab") as file:
                file.write(column.tobytes())
        self._block, self._kinds = [], array("Q")


def sign(text: str) -> Hashes:
    """The signature of a text."""
    return minhash.signature(minhash.shingles(text))


class _Texts:
    """The hashes of texts by index, with the last ones at hand."""

    def __init__(self, numbers: Any, text_of: TextOf) -> None:
        self.numbers = numbers
        self._text_of = text_of
        self._known: dict[int, Hashes] = {}
        self._size = 0

    def __len__(self) -> int:
        return len(self.numbers)

    def alike(self, a: int, b: int) -> float:
        return minhash.jaccard(self._hashes(a), self._hashes(b))

    def _hashes(self, index: int) -> Hashes:
        if index not in self._known:
            hashes = minhash.shingles(self._text_of(int(self.numbers[index])))
            if self._size + len(hashes) > _CACHED:
                self._known.clear()
                self._size = 0
            self._known[index] = hashes
            self._size += len(hashes)
        return self._known[index]


class _Groups:
    """Which indices belong together; the smallest of a group speaks for it."""

    def __init__(self, count: int, alike: Callable[[int, int], bool], vain: int = 1 << 15) -> None:
        """Args:
        count: of indices.
        alike: whether two belong together.
        vain: comparisons in vain that an index gets; after that it is compared no more.
        """
        self._parents = array("q", range(count))
        self._vain = vain
        self._tried = array("H", bytes(2 * count))
        self._alike = alike
        self._differ: set[tuple[int, int]] = set()

    def root(self, index: int) -> int:
        parents = self._parents
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    def join(self, members: Sequence[int], most: int) -> None:
        """Compare the members of a bucket and unite those that are alike.

        Up to `most` members are compared each with each. Of more, each is compared with the first
        `most` that are in different groups.
        """
        compared: list[int] = []
        for member in members:
            for other in compared:
                self._compare(other, member)
            if len(members) <= most or (
                len(compared) < most
                and all(self.root(other) != self.root(member) for other in compared)
            ):
                compared.append(member)

    def _compare(self, a: int, b: int) -> None:
        first, second = self.root(a), self.root(b)
        if first == second or self._tried[b] >= self._vain or (a, b) in self._differ:
            return
        if self._alike(a, b):
            self._parents[max(first, second)] = min(first, second)
        else:
            self._tried[b] += 1
            if len(self._differ) >= _REFUSED:
                self._differ.clear()
            self._differ.add((a, b))


def _buckets(band: Any) -> Iterator[list[int]]:
    """The indices of equal numbers, ascending, where there are two or more."""
    np = minhash.load_numpy()
    order = np.argsort(band, kind="stable")
    ordered = band[order]
    same = np.flatnonzero(ordered[1:] == ordered[:-1])
    if not len(same):
        return
    breaks = np.flatnonzero(np.diff(same) > 1)
    starts = same[np.concatenate(([0], breaks + 1))]
    stops = same[np.concatenate((breaks, [len(same) - 1]))] + 2
    for i in range(len(starts)):
        yield order[starts[i] : stops[i]].tolist()
