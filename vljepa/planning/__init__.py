"""Planning with a world model: actions whose predicted latents come nearest to those of a goal."""
