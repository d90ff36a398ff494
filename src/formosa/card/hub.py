"""What the model hub accepts in front matter, as far as it can be known without asking it.

Source: https://huggingface.co/docs/hub/repositories-licenses and …/model-cards, read 2026-11. The
hub adds licences now and then: an id that is missing here is reported, never refused.
"""

from __future__ import annotations

import re

_LICENSES = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause
    bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0
    cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1
    eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research
    intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl openmdw-1.0 openrail++
    osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
    grok2-community gemma unknown other
"""
LICENSES = frozenset(_LICENSES.split())

_LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_language(code: str) -> bool:
    """Whether `code` looks like ISO 639 (`zh`, `nan`) or is one of the hub's two words."""
    return bool(_LANGUAGE.fullmatch(code))


def is_hub_id(name: str) -> bool:
    """Whether `name` has the form organisation/name."""
    return bool(_HUB_ID.fullmatch(name)) and len(name) <= 96
