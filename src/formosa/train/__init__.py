"""Fine-tune a model on prepared rows.

    config.py    the `train:` part of a recipe
    rows.py      a conversation becomes token ids and labels; every check before step 1
    sft.py       supervised fine-tuning: transformers' Trainer fed with our rows
    accuracy.py  exact-call accuracy on held-out rows: what the loss can't say

We own the path from words to ids and labels, and rent the loop. Needs `formosa-lm[train]`.
"""
