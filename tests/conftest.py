"""For all tests: one thread a process. On busy machines small models are many times slower with more."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, and for the processes that tests start
