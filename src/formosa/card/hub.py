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


_KEYS = """
    language license license_name license_link library_name tags datasets metrics base_model
    base_model_relation new_version pipeline_tag thumbnail inference widget model-index model_name
    co2_eq_emissions extra_gated_prompt extra_gated_fields extra_gated_heading
    extra_gated_description extra_gated_button_content extra_gated_eu_disallowed gated
    instance_prompt mask_token model_type quantized_by prompt_template viewer duplicated_from
    model_creator model_link title arxiv doi eval_results annotations_creators track_downloads
    fine-tuning
"""
KEYS = frozenset(_KEYS.split())
"""Of a front matter, as far as the hub or many cards use them."""

RELATIONS = ("finetune", "adapter", "quantized", "merge")
"""How a model comes from its base model."""

_LIBRARIES = """
    transformers diffusers peft sentence-transformers adapter-transformers gguf mlx mlx-lm vllm
    llama.cpp llamafile ctranslate2 onnx onnxruntime openvino safetensors keras tf-keras timm
    pytorch tensorflow jax flax fairseq espnet nemo open_clip spacy stanza fasttext sklearn unsloth
    exllamav2 exllamav3 mergekit trl axolotl autoawq gptqmodel awq transformers.js executorch coreml
    tensorrt_llm litert litert-lm lightning
"""
LIBRARIES = frozenset(_LIBRARIES.split())
"""Of the hub, as far as language models use them."""

_PIPELINES = """
    text-generation text2text-generation text-classification token-classification
    question-answering table-question-answering zero-shot-classification translation summarization
    feature-extraction fill-mask sentence-similarity text-ranking text-to-speech text-to-audio
    automatic-speech-recognition audio-to-audio audio-classification audio-text-to-text
    voice-activity-detection depth-estimation image-classification object-detection
    image-segmentation text-to-image image-to-text image-to-image image-to-video
    unconditional-image-generation video-classification reinforcement-learning robotics
    tabular-classification tabular-regression tabular-to-text table-to-text multiple-choice
    text-retrieval time-series-forecasting text-to-video image-text-to-text image-to-3d text-to-3d
    visual-question-answering document-question-answering zero-shot-image-classification
    graph-ml mask-generation zero-shot-object-detection image-feature-extraction video-text-to-text
    keypoint-detection visual-document-retrieval any-to-any video-to-video other
"""
PIPELINES = frozenset(_PIPELINES.split())
"""The tasks of the hub."""
