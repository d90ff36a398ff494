"""The command line: one file per group of commands; output in one place (`output.py`).

`main.py` loads a group only when it is asked for, so `formosa --help` imports neither an engine
nor torch.
"""
