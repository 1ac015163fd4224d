"""The one family of errors that limner raises on purpose: a sentence that names the input, the cause and the remedy."""


class LimnerError(Exception):
    """Base of every error limner raises on purpose; the command line prints its one sentence and exits with 2."""


class InputError(LimnerError, ValueError):
    """What the user gave cannot be used: a wrong path, shape, name, number or file."""


class CheckpointError(LimnerError, RuntimeError):
    """A saved model or run is incomplete, damaged or does not fit the code that reads it."""


class ProtocolError(LimnerError, ValueError):
    """Two scores were compared although they were measured by different protocols."""


class DivergedError(LimnerError, RuntimeError):
    """Training met non-finite losses or gradients more often than it may skip."""
