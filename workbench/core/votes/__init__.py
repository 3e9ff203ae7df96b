"""Blind votes: who answered, in which order one votes, what the votes say, and what they are good for.

`vote` is one vote, `sitting` a list of prompts with answers to vote on, `fit` and `result` what the votes of measuring
sittings say of the answerers, `reading` what they say of the voter, `expectation` what so many votes can move.
"""
