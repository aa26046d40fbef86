"""The Python interface; `import marsfolio` has its names."""
