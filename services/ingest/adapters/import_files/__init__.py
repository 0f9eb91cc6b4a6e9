"""Files to import: unpacked, looked at, and read row by row. Blocking code, for threads; memory doesn't grow with the file."""
