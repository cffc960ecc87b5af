"""Small trained encoders that travel with the package."""
