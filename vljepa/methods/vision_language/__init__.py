"""What VL-JEPA needs beside its method: sources, the answers to its questions, names of classes."""
