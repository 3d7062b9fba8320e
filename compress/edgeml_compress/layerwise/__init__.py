"""Layer by layer: what passes stand on that adjust a layer to what those before it really answer."""
