"""Optional C++ kernels: their source, how they are compiled and kept, and their C interface."""
