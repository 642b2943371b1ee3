"""The edge runner on an emulated Arm processor: the same sounds, by which kernels."""
