"""The error of all evaluators."""


class Refused(Exception):
    """A query, an expression or an alarm that AWS would refuse, or that the evaluators do not know."""
