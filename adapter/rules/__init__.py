"""The trial's rules, pure: no I/O, no clock, no randomness. Read them in the order of the sentence.

A patient is *matched* to a participant, a code is *mapped* to an endpoint, status and value and unit are *normalised*,
the collection time is *aligned* to a visit; of the reports of one result one *stands*, of the candidates of a cell one
is *selected*; ``derive`` says the sentence once, ``queue`` asks what is left.
"""
