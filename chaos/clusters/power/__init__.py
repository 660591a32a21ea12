"""The power of nodes that somebody else made: off and on by a driver, from outside of them."""
