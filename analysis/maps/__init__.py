"""Maps of features: two dimensions, their distortion, exports and one interactive page."""
