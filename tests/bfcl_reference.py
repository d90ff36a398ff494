"""The reference's own code, out of its wheel: its checker, its shape test, its docs, its decoder.

It is run in tests and in a benchmark, and nowhere else. Stubs stand in the place of its model table
and vendor handlers, so that none of its 150 dependencies is needed. Published numbers were made
with this code.
"""

from __future__ import annotations

import ast
import copy
import json
import operator
import re
import sys
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

from formosa.evals.bfcl.checker import NOT_CALLS
from formosa.evals.bfcl.items import WHEEL
from formosa.evals.bfcl.literals import Language, language_of
from formosa.wheels import fetch_member

Call = dict[str, Any]

UPSTREAM = {
    "eval_checker/ast_eval/ast_checker.py": (
        "2aae7a68461a8f76c0be3894c8901b66b56967a1989d3ab066051e3fb97f1538"
    ),
    "model_handler/utils.py": "f78fd3edce603b333dc9a88ee2c041dc547d51f71aa449ffebc044c4b1e353f3",
    "constants/type_mappings.py": (
        "1702fb67afbe2c492608e58e2b7d02e46381f50166b47f3c952f76e34c7cd3bd"
    ),
    "eval_checker/ast_eval/type_convertor/java_type_converter.py": (
        "2fd4f4b0443b3dd974a1723bb4e45c086d7b352631062da7807ad1ad40706604"
    ),
    "eval_checker/ast_eval/type_convertor/js_type_converter.py": (
        "a114e9ff75c025cb52787ac33d6c2fbaa390905c6125a2b3c6afebab232bb5e4"
    ),
    "constants/default_prompts.py": (
        "4cc033be99ae2b10bbde30e7751ddcac5468cb45841b6dc7b3a97b92adf38205"
    ),
    "utils.py": "3703b9bb63f83581c60b8e0b82aac74c360c9ca781e99e7d4eb28b0cce2285dd",
}


def _source(member: str) -> str:
    path = fetch_member(WHEEL, f"bfcl_eval/{member}", sha256=UPSTREAM[member])
    return path.read_text(encoding="utf-8")


def _functions(member: str, names: set[str], namespace: dict[str, Any]) -> dict[str, Any]:
    """Single functions out of a file whose imports are not wanted."""
    tree = ast.parse(_source(member))
    wanted = [node for node in tree.body if getattr(node, "name", None) in names]
    assert len(wanted) == len(names)
    exec(compile(ast.Module(wanted, []), member, "exec"), namespace)
    return namespace


LANGUAGES: dict[Language, int] = {"python": 1, "java": 2, "javascript": 3}


class Upstream:
    """The reference, in pieces that can be called.

    Attributes:
        well_formed: its test of what a list of calls is.
        java, js: its converters of literals: (text, type, type of elements).
        to_docs, to_tools: function docs and category → what a model is shown.
        decode_python: its default decoder of text, with the default argument for the language.
    """

    java: Any
    js: Any

    def __init__(self) -> None:
        mappings = ModuleType("type_mappings")
        exec(_source("constants/type_mappings.py"), mappings.__dict__)
        stubs: dict[str, dict[str, Any]] = {
            "bfcl_eval.constants.enums": {
                "Language": SimpleNamespace(PYTHON=1, JAVA=2, JAVASCRIPT=3)
            },
            "bfcl_eval.constants.model_config": {
                "MODEL_CONFIG_MAPPING": {
                    "dots": SimpleNamespace(underscore_to_dot=False),
                    "underscores": SimpleNamespace(underscore_to_dot=True),
                }
            },
            "bfcl_eval.constants.type_mappings": vars(mappings),
        }
        modules: dict[str, ModuleType] = {}
        for name, content in stubs.items():
            modules[name] = ModuleType(name)
            vars(modules[name]).update(content)
        checker = ModuleType("ast_checker")
        with patch.dict(sys.modules, modules):
            for language in ("java", "js"):
                name = f"eval_checker/ast_eval/type_convertor/{language}_type_converter"
                module = ModuleType(name)
                exec(_source(f"{name}.py"), module.__dict__)
                sys.modules[f"bfcl_eval.{name.replace('/', '.')}"] = module
                setattr(self, language, getattr(module, f"{language}_type_converter"))
            exec(_source("eval_checker/ast_eval/ast_checker.py"), checker.__dict__)
        self._check = checker.ast_checker
        self.well_formed = _functions("utils.py", {"is_function_calling_format_output"}, {})[
            "is_function_calling_format_output"
        ]
        styles = SimpleNamespace(**{
            name: name
            for name in ("OPENAI_COMPLETIONS", "OPENAI_RESPONSES", "MISTRAL", "GOOGLE", "OSSMODEL",
                         "ANTHROPIC", "COHERE", "AMAZON", "NOVITA_AI", "WRITER", "FIREWORK_AI")
        })  # fmt: skip
        convert = _functions(
            "model_handler/utils.py",
            {"_cast_to_openai_type", "convert_to_tool"},
            {
                "GORILLA_TO_OPENAPI": mappings.GORILLA_TO_OPENAPI,
                "ModelStyle": styles,
                "copy": copy,
                "json": json,
                "re": re,
            },
        )
        hint = _functions(
            "utils.py",
            {"_func_doc_language_specific_pre_processing", "_get_language_specific_hint"},
            {
                "is_java": lambda category: language_of(category) == "java",
                "is_js": lambda category: language_of(category) == "javascript",
                "json": json,
            },
        )["_func_doc_language_specific_pre_processing"]

        def to_docs(functions: list[Call], category: str) -> list[Any]:
            found: list[Any] = hint(copy.deepcopy(functions), category)
            return found

        def to_tools(functions: list[Call], category: str) -> list[Any]:
            found: list[Any] = convert["convert_to_tool"](
                to_docs(functions, category),
                mappings.GORILLA_TO_OPENAPI,
                styles.OPENAI_COMPLETIONS,
            )
            return found

        self.to_docs, self.to_tools = to_docs, to_tools
        self.decode_python = _functions(
            "model_handler/utils.py",
            {
                "ast_parse",
                "resolve_ast_call",
                "resolve_ast_by_type",
                "default_decode_ast_prompting",
            },
            {
                "ast": ast,
                "re": re,
                "operator": operator,
                "ReturnFormat": SimpleNamespace(PYTHON="python"),
            },
        )["default_decode_ast_prompting"]
        prompts: dict[str, Any] = {}
        exec(_source("constants/default_prompts.py"), prompts)
        self._prompts = prompts

    def system_prompt(self, docs: list[Any]) -> str:
        """As `formulate_system_prompt` makes it for the default format."""
        style = self._prompts["PROMPT_STYLE_TEMPLATES"]["classic"]
        made: str = self._prompts["PROMPT_TEMPLATE_MAPPING"]["plaintext"].format(
            persona=style["persona"],
            task=style["task"],
            tool_call_format=style["tool_call_no_tag"].format(
                output_format=self._prompts["OUTPUT_FORMAT_MAPPING"]["python"],
                param_types=self._prompts["PARAM_TYPE_MAPPING"]["python"],
            ),
            multiturn_behavior=style["multiturn_behavior"],
            available_tools=style["available_tools"].format(
                format="json", functions=json.dumps(docs, indent=4)
            ),
        )
        return made

    def verdict(
        self, functions: Any, calls: Any, answers: Any, category: str, *, dots_replaced: bool
    ) -> tuple[bool, str]:
        """(right, error type); an error type of "crash" where the reference raises."""
        if not self.well_formed(calls):
            return False, NOT_CALLS
        try:
            found = self._check(
                list(functions),
                copy.deepcopy(calls),
                list(answers),
                LANGUAGES[language_of(category)],
                category,
                "underscores" if dots_replaced else "dots",
            )
        except Exception:  # whatever it trips over: it aborts the whole evaluation
            return False, "crash"
        return found["valid"], "" if found["valid"] else found["error_type"]

    def judge(self, functions: Any, calls: Any, answers: Any, category: str) -> bool:
        """Only the verdict, without copying anything first: for measuring time."""
        found: bool = self._check(
            functions, calls, answers, LANGUAGES[language_of(category)], category, "underscores"
        )["valid"]
        return found
