"""What the records teach: evidence, advice, calibration, experiments, policies, quality.

Everything here is a function of rows of the store (rule R7): pure in the middle, read at the edge.
"""
