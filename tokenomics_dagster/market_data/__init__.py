"""Daily bars: asked of the broker, judged, and kept in the lake."""
