"""A page for the browser (`vljepa demo`), on gradio: a file for each tab, over one `Desk`."""
