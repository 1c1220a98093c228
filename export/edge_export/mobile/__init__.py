"""The graph as a package for a phone's GPU: which variant of the model, where each operator will
run, whether the GPU's result is right, and the folder that an app developer takes."""
