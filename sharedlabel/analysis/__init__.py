"""From records to figures, tables and verdicts; no run needs anything in here."""
