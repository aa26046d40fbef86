"""bt.Strategy subclasses and the policies they carry out."""
