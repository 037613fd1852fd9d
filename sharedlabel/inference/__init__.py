"""Trained networks for images of one's own: found by name, built anew from a record's checkpoint, asked, exported."""
from sharedlabel.inference.predictor import Prediction, Predictor, load

__all__ = ["Prediction", "Predictor", "load"]
