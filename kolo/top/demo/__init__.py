"""A server that is made up: engines that load, answer, crash and come back, the same for the
same seed. It speaks through the interface of real ones, for trying out, pictures and tests."""
