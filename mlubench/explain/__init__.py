"""Which images, classes and layers changed, and which layers to keep in float."""
