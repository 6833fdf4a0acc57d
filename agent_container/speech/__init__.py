"""Speech on our own machine: one process hears, speaks and compares sentences for every call."""
