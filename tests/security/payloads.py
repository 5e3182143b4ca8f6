"""Pickles that make a folder when they are read, in the shapes that pickles come in."""

import io
import os
import pickle

import numpy as np
import torch


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, sentinel):
        self.sentinel = str(sentinel)

    def __reduce__(self):
        return os.mkdir, (self.sentinel,)


def pickled(sentinel):
    return pickle.dumps(Payload(sentinel))


def torched(sentinel):
    file = io.BytesIO()
    torch.save(Payload(sentinel), file)
    return file.getvalue()


def object_array(sentinel):
    file = io.BytesIO()
    np.save(file, np.array([Payload(sentinel)], dtype=object), allow_pickle=True)
    return file.getvalue()
