"""The status page of a paper account: what its journal says, in a browser, and the kill switch."""
