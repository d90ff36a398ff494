"""What the licences of base models and data ask of somebody who gives a trained model away.

A small table of what small models are made from, in words of ours: it is no legal advice, and the
licence itself counts. A licence that is not in it is named, never explained.

Sources, read 2026-11: https://www.llama.com/llama3_2/license/ (1.b: name and "Built with Llama",
notice in a file), https://ai.google.dev/gemma/terms (3.1: use restrictions handed on, notice),
https://www.apache.org/licenses/LICENSE-2.0 (4), creativecommons.org/licenses.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from formosa.card.hub import LICENSES
from formosa.card.ledger import Words


@dataclass(frozen=True, slots=True)
class Licence:
    """What is known of a licence.

    Attributes:
        name: for people.
        link: to its text.
        notice: what a copy of the model must say or do.
        banner: words that must stand where everybody sees them.
        prefix: how the name of a model made from such a model must begin.
    """

    name: str
    link: str
    notice: Words
    banner: str = ""
    prefix: str = ""


def _llama(version: str, path: str) -> Licence:
    name = f"Llama {version} Community License"
    notice = (
        f"Llama {version} is licensed under the {name}, Copyright © Meta Platforms, Inc. "
        "All Rights Reserved."
    )
    return Licence(
        name,
        f"https://www.llama.com/{path}/license/",
        Words(
            "散布模型或以它製作的產品時，要附上授權全文、遵守其使用政策、"
            "在顯眼處標示「Built with Llama」，衍生模型的名稱要以「Llama」開頭，"
            f"並保留這段聲明：`{notice}`",
            "Whoever distributes the model or a product made with it passes the licence on, keeps "
            "its use policy, displays “Built with Llama”, begins the name of a derived model with "
            f"“Llama”, and keeps this notice: `{notice}`",
        ),
        banner="Built with Llama",
        prefix="Llama",
    )


_ATTRIBUTION = Words(
    "散布時要標示原作者、授權與所做的更改。", "Name the authors, the licence and what was changed."
)
_KEPT = Words(
    "散布時保留著作權聲明與授權全文。", "Keep the copyright notice and the text of the licence."
)
_FREE = Words("沒有附加條件。", "It sets no conditions.")

LICENCES: dict[str, Licence] = {
    "apache-2.0": Licence(
        "Apache License 2.0",
        "https://www.apache.org/licenses/LICENSE-2.0",
        Words(
            "散布時附上授權全文、保留著作權與 NOTICE 聲明，並註明改過的檔案。",
            "Pass the licence on, keep copyright and NOTICE texts, and say which files changed.",
        ),
    ),
    "mit": Licence("MIT License", "https://opensource.org/license/mit", _KEPT),
    "bsd-3-clause": Licence("BSD 3-Clause", "https://opensource.org/license/bsd-3-clause", _KEPT),
    "llama3": _llama("3", "llama3"),
    "llama3.1": _llama("3.1", "llama3_1"),
    "llama3.2": _llama("3.2", "llama3_2"),
    "llama3.3": _llama("3.3", "llama3_3"),
    "gemma": Licence(
        "Gemma Terms of Use",
        "https://ai.google.dev/gemma/terms",
        Words(
            "散布時附上條款全文，讓對方同樣受使用限制約束，註明改過的檔案，並附上這段聲明："
            "`Gemma is provided under and subject to the Gemma Terms of Use found at "
            "ai.google.dev/gemma/terms`。",
            "Pass the terms on, bind whoever gets it to the use restrictions, say which files were "
            "changed, and add this notice: `Gemma is provided under and subject to the Gemma Terms "
            "of Use found at ai.google.dev/gemma/terms`.",
        ),
    ),
    "cc0-1.0": Licence("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/", _FREE),
    "cc-by-4.0": Licence("CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/", _ATTRIBUTION),
    "cc-by-sa-4.0": Licence(
        "CC BY-SA 4.0",
        "https://creativecommons.org/licenses/by-sa/4.0/",
        Words(
            "散布時要標示原作者，改作要用相同的授權。",
            "Name the authors, and give adaptations the same licence.",
        ),
    ),
    "cc-by-nc-4.0": Licence(
        "CC BY-NC 4.0",
        "https://creativecommons.org/licenses/by-nc/4.0/",
        Words(
            "要標示原作者，而且不得用於商業目的。", "Name the authors, and make no commercial use."
        ),
    ),
}
_OTHER_WRITINGS = {"apache 2.0": "apache-2.0", "apache license 2.0": "apache-2.0"}


def hub_id(licence: str) -> str:
    """The hub's id for what a report says, as `mit` for `MIT`; "" for one it does not know."""
    plain = re.sub(r"\s+", " ", licence.strip().lower())
    plain = _OTHER_WRITINGS.get(plain, plain)
    return plain if plain in LICENSES and plain not in ("unknown", "other") else ""


def known(licence: str) -> Licence | None:
    return LICENCES.get(hub_id(licence))


def name_breaks(licence: str, name: str) -> str:
    """How a model's name would have to begin, where it does not; "" where nothing is asked."""
    found = known(licence)
    return "" if found is None or name.startswith(found.prefix) else found.prefix
