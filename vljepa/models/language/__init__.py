"""Language models that also predict latents."""
