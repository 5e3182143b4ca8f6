"""Selective decoding, measured: caption quality against decodes per second on streams of held-out pictures."""
