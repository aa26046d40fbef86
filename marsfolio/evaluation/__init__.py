"""`marsfolio evaluate`: seeds x windows x methods, and what the numbers say together."""
