"""What every test here needs of the process that runs it."""

import signal

from hypothesis import HealthCheck, settings

# A shell starts what is to run in the background with SIGINT ignored, and every child inherits that: the tests that
# interrupt a child would wait for it in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test may depend on how fast the machine is at that moment. What else the profile says (in CI another one) stays.
settings.register_profile("noisy", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("noisy")
