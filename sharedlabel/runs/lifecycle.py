"""How a run begins and ends."""
import contextlib

from sharedlabel.pruning import LayerCollapse


@contextlib.contextmanager
def collapse_recorded(record: dict, on_collapse: str):
    """Layer collapse in here is an error where `on_collapse` is "raise"; a grid's "record" makes it the record's outcome."""
    try:
        yield
    except LayerCollapse as collapse:
        if on_collapse == "raise":
            raise
        record |= {"status": "layer_collapse", "collapse": str(collapse)}
        print(collapse)
