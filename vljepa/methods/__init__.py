"""What is predicted from what. A method is one file: it builds its model, its batches, its loss and its validation."""

from vljepa.methods.hooks import FollowStudent, Hook
from vljepa.methods.protocol import Inputs, Method, Scope
from vljepa.methods.registry import method_of, register

__all__ = ["FollowStudent", "Hook", "Inputs", "Method", "Scope", "method_of", "register"]
