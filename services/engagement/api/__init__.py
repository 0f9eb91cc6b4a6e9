"""HTTP of engagement."""
