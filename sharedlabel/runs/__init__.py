"""Runs: their parameters and studies, their records and checkpoints, and how a killed one goes on."""
