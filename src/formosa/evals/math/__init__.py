"""Mathematics with an answer that can be compared: MATH-500 and GSM8K.

    answers.py   the answer in a reply: the last box, or what is announced as the answer
    compare.py   whether two answers are the same: math-verify in processes that can be killed
    worker.py    such a process; a script that imports nothing of ours
    task.py      the data, the prompt and the scorer

math-verify (Apache-2.0) brings sympy. It is an extra, and only the workers import it.
"""
