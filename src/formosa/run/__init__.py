"""Run a recipe: every stage of a model's life in order, each only if something changed.

recipe.py   the recipe: its schema, and errors that name the line and the nearest key
state.py    state.json: which stage is complete, and of what it was made
stages.py   the stages; they meet through files in the run folder
report.py   how a run tells a person what goes on
"""
