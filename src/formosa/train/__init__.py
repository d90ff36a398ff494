"""Train a model on prepared rows.

    config.py           the `train:` part of a recipe
    run.py              the story: rows in, a checkpoint out; smoke.py is its trial

    rows, samples, rendering, documents, tokens, packing, special_tokens
                        rows become token ids and labels; every check before step 1
    model, batches, loss, optimizer, schedule, trainer
                        what a step is; the loop itself is transformers' Trainer
    follow, measure, accuracy, checkpoint, log, reporters, summary
                        what happens beside the steps
    parallel, launch, worker, hardware
                        several processes and machines
    plan, shapes        memory, time and cost before anything loads
    page, curves        the curves of a training as one page

We own the path from words to ids and labels, and rent the loop. Needs `formosa-lm[train]`.
"""
