"""The trial data in the field's formats: CSV for people, SDTM for statistics.

What is exported comes from what is stored, read at one instant. Builders are functions of that; the writers beside them
give bytes, and equal data give equal bytes. There is no column for an arm, a route or an identity.
"""
