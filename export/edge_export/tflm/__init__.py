"""The graph as arrays for TensorFlow Lite Micro, and what it will need there."""
