"""How a parameter or study that cannot be used is refused: in one line, whatever was given."""
import difflib
import reprlib
from collections.abc import Iterable


class ParameterError(ValueError):
    """A parameter that a run or study was given is unknown, of the wrong type or out of range; its message is one line."""

    def __init__(self, message: str):
        line = " ".join(message.split())
        super().__init__("".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in line))


def show(value) -> str:
    """A value as Python writes it, shortened: a study may nest, repeat or refer to itself without end."""
    writer = reprlib.Repr()
    writer.maxstring = writer.maxother = writer.maxlong = 80
    writer.maxlist = writer.maxdict = writer.maxset = 12
    try:
        return writer.repr(value)
    except ValueError:  # Python writes out no integer of more than 4,300 digits
        return f"a value of type {type(value).__name__}"


def suggest(value, allowed: Iterable[str]) -> str:
    """A question to put behind an error message, where one of the allowed values is nearly what was given; else nothing."""
    near = difflib.get_close_matches(value[:80], allowed, n=1) if isinstance(value, str) else []
    return f"; did you mean {near[0]}?" if near else ""
