"""The kernel table: one row a C function of `firmware/kernels`."""
