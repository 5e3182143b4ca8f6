"""One file a library: modules, weights, preprocessing, tokenizer, pooling and prompts, as the library itself has them.

`protocols` is what the house asks of a library, `registry` the libraries by name, `files` where a part's files are,
`resolve` what a config leaves to be asked.
"""

from vljepa.backends.files import part_config, part_folder
from vljepa.backends.registry import backend_of, register
from vljepa.backends.resolve import resolve_preferences

__all__ = ["backend_of", "part_config", "part_folder", "register", "resolve_preferences"]
