"""A person's true motion in the world from a video shot with a moving camera."""
