"""Proof that the files of a run agree with each other and with the bars, by arithmetic of its own."""
