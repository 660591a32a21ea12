"""What every test here needs of the process that runs it."""

import signal

# A shell starts what is to run in the background with SIGINT ignored, and every child inherits that: the tests that
# interrupt a child would wait for it in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
