"""Where samples come from: sources, feature caches, the step-pure sampler, and the way to a batch."""
