"""The parts of a recipe's `data:` that decide which rows are repaired and which are left out.

    clean:          CleanConfig             script, punctuation, vocabulary      → cleaning.py
    quality:        QualityConfig           replies that should not be learnt    → quality.py
    duplicates:     DuplicateConfig         rows that say the same               → duplicates.py
    decontaminate:  DecontaminationConfig   rows that a benchmark asks           → decontaminate.py

Every filter can be turned off. Lengths are in characters, shares are of 1. What happens to
Simplified rows is said per source (`convert: refuse | convert | keep`), since it depends on where
the rows came from.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Policy = Literal["refuse", "convert", "keep"]
"""What to do with a row in Simplified Chinese."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CleanConfig(_Part):
    """What is changed in a row, and how pure it has to be."""

    converter: Literal["s2twp", "s2tw"] = Field(
        default="s2tw",
        description="OpenCC's configuration for Simplified rows: s2tw converts characters, s2twp "
        "the words that it knows as well, right or wrong (文件 is always 檔案, 程序 always 程式).",
    )
    simplified: float = Field(
        default=0.005,
        ge=0,
        le=1,
        description="Under the policy refuse: a row is refused when more than this share of its "
        "Han characters is Simplified only. Above 0, since one slip in a long row is none.",
    )
    punctuation: bool = Field(
        default=True,
        description="Full-width marks between Han characters: `,` becomes ， and “ ” become 「」.",
    )
    vocabulary: Literal["never", "converted", "always"] = Field(
        default="converted",
        description="In which rows words of the mainland become Taiwan's (視頻 → 影片): in none, "
        "in those that were converted from Simplified, or in all.",
    )
    space: bool = Field(
        default=True,
        description="Remove byte-order marks, zero-width spaces, and white space at the ends of "
        "messages and lines; line ends become a line feed.",
    )
    purity: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="A row with a lower purity (1 − share of Simplified-only characters − share "
        "of characters in mainland words, after cleaning) is left out. 0 leaves none out.",
    )


class QualityConfig(_Part):
    """Which rows should not be learnt. Each filter has one name in the report."""

    shortest_question: int = Field(
        default=1, ge=0, description="Characters of the user's first turn; fewer: `no question`."
    )
    shortest_reply: int = Field(
        default=1,
        ge=0,
        description="Characters of the last reply, unless it calls a tool; fewer: `reply too "
        "short`.",
    )
    longest_reply: int | None = Field(
        default=20_000, ge=1, description="Characters of any reply; more: `reply too long`."
    )
    longest_thought: int | None = Field(
        default=60_000,
        ge=1,
        description="Characters of the reasoning of any turn; more: `thought too long`.",
    )
    repeated_lines: float | None = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of a text's lines that stood in it before; more: `repeated lines`. "
        "Only lines of 10 letters or 5 Han characters count, and only from 8 of them on.",
    )
    repeated_runs: float | None = Field(
        default=0.5,
        gt=0,
        le=1,
        description="Share of a text's runs of 20 characters that stood in it before, from 200 "
        "characters on; more: `repeated text`.",
    )
    unfinished: bool = Field(
        default=True,
        description="Leave out replies with a code fence, <think> or <tool_call> that was never "
        "closed: `cut off`.",
    )
    sentence_end: bool = Field(
        default=False,
        description="Leave out replies of 200 characters and more whose last line is a sentence "
        "without an end: `cut off`.",
    )
    boilerplate: bool = Field(
        default=True,
        description="Leave out replies that speak as an AI language model, under the name of "
        "another model, or, where no tools are offered, as an AI: `boilerplate`.",
    )
    refusals: bool = Field(
        default=True,
        description="Leave out replies that begin with a refusal, where no tools are offered (with "
        "tools, to decline is what the row teaches): `refusal`.",
    )
    reply_language: bool = Field(
        default=True,
        description="Leave out replies in English to Chinese, and the other way round, unless the "
        "conversation speaks of a language: `wrong language`.",
    )
    thought_language: bool = Field(
        default=False,
        description="The same for reasoning: Chinese questions want Chinese thoughts: `thought in "
        "another language`.",
    )
    markers: bool = Field(
        default=True,
        description="Leave out rows with control tokens or prompt markers of any model family in "
        "their text: `leaked marker`.",
    )
    only_thought: bool = Field(
        default=True,
        description="Leave out rows whose last turn thinks and then says nothing and calls "
        "nothing: `no answer after thinking`.",
    )
    grounding: Literal["off", "strings", "all"] = Field(
        default="off",
        description="Leave out rows with an argument that nobody named before the call: strings "
        "only, or numbers as well: `value from nowhere`. Values of an enum, a const or a default "
        "are always known.",
    )
    tool_descriptions: bool = Field(
        default=True,
        description="Leave out rows that offer a tool without a description: `tool without "
        "description`.",
    )
    broken_characters: int | None = Field(
        default=0,
        ge=0,
        description="How many replacement characters, mis-decoded sequences and control "
        "characters a row may have; more: `broken characters`.",
    )
    personal_data: bool = Field(
        default=False,
        description="Leave out rows with a valid Taiwanese identity number, a mobile phone number "
        "or an e-mail address that is no example: `personal data`. Off, since rows with tools need "
        "invented ones.",
    )
    emojis: float | None = Field(
        default=0.05,
        gt=0,
        le=1,
        description="Share of a reply's characters that are emojis, from 5 of them on; more: `too "
        "many emojis`.",
    )


class DuplicateConfig(_Part):
    """Which rows say the same as an earlier one."""

    exact: bool = Field(
        default=True, description="Drop rows whose words, calls and tools are an earlier row's."
    )
    near: float | None = Field(
        default=0.8,
        ge=0.5,
        le=1,
        description="Jaccard similarity of the runs of 5 characters from which on two rows with "
        "equal calls are near duplicates. null: near duplicates stay.",
    )
    bucket: int = Field(
        default=64,
        ge=2,
        description="Of a bucket of alike rows, up to this many are compared each with each; in "
        "larger ones each row is compared with this many of those that differ. More is slower.",
    )


class DecontaminationConfig(_Part):
    """What makes a row a benchmark's."""

    benchmarks: tuple[str, ...] | None = Field(
        default=None,
        description="Which benchmarks, as `formosa eval tasks` names them. null: the tasks of the "
        "recipe's `eval:` part, and mini-zh-tw. []: none.",
    )
    words: int | None = Field(
        default=8, ge=4, description="Length of a shared run of words. null: runs don't count."
    )
    characters: int | None = Field(
        default=13,
        ge=6,
        description="Length of a shared run in Chinese: letters and digits, more than half of "
        "them Han; space and punctuation don't count. null: such runs don't count.",
    )
    documents: bool = Field(
        default=True,
        description="Whether runs count in documents as well. Questions quote laws: of 76 main "
        "laws 19 share 13 characters with TMMLU+. false: only a document that equals a text.",
    )
    tools: Literal["name and description", "name", "off"] = Field(
        default="name and description",
        description="Which tools of a row are a benchmark's: those with equal name and "
        "description, already those with an equal name, or none.",
    )
    equal: bool = Field(
        default=True, description="Whether a turn that equals a benchmark's text counts."
    )
    shortest_text: int = Field(
        default=12,
        ge=1,
        description="Shorter texts of a benchmark (letters and digits) prove nothing when equal.",
    )
    boilerplate: int = Field(
        default=10,
        ge=1,
        description="A run that stands in more than this many different texts of the benchmarks "
        "is a figure of speech, and proves nothing.",
    )
