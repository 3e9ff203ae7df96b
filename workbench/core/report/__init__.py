"""The report card of runs: what is measured of their answers, how sure that is, and what it says in words.

`material` is what was measured, as it is kept; `estimates` numbers with intervals; `measures` the table of measures;
`comparison` what one did against another; `judging` what a judge model is asked; `findings` what is suspicious in that; `card` all of it, with the verdicts of `verdict`.
"""
