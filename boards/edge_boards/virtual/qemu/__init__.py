"""Virtual boards that QEMU runs: the machine is QEMU's, the process around it is ours."""
