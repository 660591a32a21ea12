"""Each reader of a file that others may have written, fed with anything: see `readers` and `__main__`."""
