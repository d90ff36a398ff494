"""Run a recipe: every stage of a model's life in order, each only if something changed.

recipe.py      the recipe: its schema, and errors that name the line and the nearest key
state.py       state.json: which stage is complete, and of what it was made
stages.py      the stages; they meet through files in the run folder
benchmarks.py  what training rows must not hold
answering.py   who answers: base and trained model, whole files or an adapter
asking.py      the evaluation: one log for each of them and each task
summary.py     what a run gave, in one value
report.py      how a run tells a person what goes on
"""
