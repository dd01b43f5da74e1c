"""What can be broken in a lab on purpose, each thing really: `drp lab fault`, `drp drill run --inject`, the self-test.

A fault (`base.Fault`) says what it does, how it is undone, and which causes an expert would expect to read in a drill's
report. The drill knows nothing of it: it gets no word, and runs the ordinary code. `catalogue.FAULTS` has them all.
"""
