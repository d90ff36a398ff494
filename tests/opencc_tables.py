"""How the tables of characters in `src/formosa/zh/data/` are made from OpenCC's dictionaries.

    pip install --no-deps --target FOLDER opencc==1.4.2
    python tests/opencc_tables.py FOLDER simplified > src/formosa/zh/data/simplified_only.txt
    python tests/opencc_tables.py FOLDER traditional > src/formosa/zh/data/traditional_only.txt

A character is Simplified only if OpenCC changes it on the way to Traditional (STCharacters) and
never writes it there: not as one of several choices (云 台 里 后 干), not as the Traditional form
of another character (么 床 群), not as Taiwan's form (TWVariants). Left out besides: what Taiwan's
own character set Big5 counts among its common characters (听 并 晒), the few of `ALSO_TAIWAN`,
and what stands outside the basic plane, which no one writes.

A character is Traditional only if OpenCC changes it on the way to Simplified (TSCharacters) and
Simplified text never holds it: not as what some character becomes there (乾 in 乾隆, 著 in 著名),
not as one that OpenCC changes on the way back.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

VERSION = "1.4.2"
HEADER = f"""\
# Characters that only {{script}} Chinese writes, by code point, 64 a line.
# From the dictionaries of OpenCC {VERSION} (https://github.com/BYVoid/OpenCC), Apache-2.0,
# (c) the OpenCC authors; changed: chosen by the rules in tests/opencc_tables.py.
"""
# Still written here: in old place names (庄), in given names (沄 栖), in medicine (腭 疱 眦), and
# as common variants (凄 昵 羡).
ALSO_TAIWAN = frozenset("庄沄栖凄昵羡腭疱眦")
_LEVEL_1 = range(0xA440, 0xC67F)  # Big5's 5401 common characters


def simplified_only(folder: Path) -> str:
    """The characters in order; `folder` is where opencc was installed.

    Raises:
        OSError, subprocess.CalledProcessError: it is not there, or its tool does not run.
    """
    simplified = _dictionary(folder, "STCharacters")
    traditional = set(_dictionary(folder, "TSCharacters"))
    for table in (simplified, _dictionary(folder, "TWVariants")):
        traditional.update(choice for choices in table.values() for choice in choices)
    return "".join(
        sorted(
            character
            for character in simplified
            if character not in traditional | ALSO_TAIWAN
            and ord(character) <= 0xFFFF
            and not _common_in_taiwan(character)
        )
    )


def traditional_only(folder: Path) -> str:
    """The characters in order; `folder` and errors as above."""
    simplified = _dictionary(folder, "TSCharacters")
    written = {choice for choices in simplified.values() for choice in choices}
    written.update(_dictionary(folder, "STCharacters"))
    return "".join(
        sorted(
            character
            for character in simplified
            if character not in written and ord(character) <= 0xFFFF
        )
    )


def data_file(characters: str, script: str = "Simplified") -> str:
    lines = [characters[i : i + 64] for i in range(0, len(characters), 64)]
    return HEADER.format(script=script) + "\n".join(lines) + "\n"


def _common_in_taiwan(character: str) -> bool:
    try:
        return int.from_bytes(character.encode("big5"), "big") in _LEVEL_1
    except UnicodeEncodeError:
        return False


def _dictionary(folder: Path, name: str) -> dict[str, list[str]]:
    library = folder / "opencc" / "clib"
    with tempfile.TemporaryDirectory() as temporary:
        text = Path(temporary) / "table.txt"
        command = [str(library / "bin" / "opencc_dict"), "-f", "ocd2", "-t", "text"]
        source = library / "share" / "opencc" / f"{name}.ocd2"
        subprocess.run(
            [*command, "-i", str(source), "-o", str(text)], check=True, capture_output=True
        )
        rows = text.read_text("utf-8").splitlines()
    pairs = [row.split("\t") for row in rows if "\t" in row and not row.startswith("#")]
    return {key: values.split() for key, values in pairs}


if __name__ == "__main__":
    if sys.argv[2] == "simplified":
        sys.stdout.write(data_file(simplified_only(Path(sys.argv[1]))))
    else:
        sys.stdout.write(data_file(traditional_only(Path(sys.argv[1])), "Traditional"))
